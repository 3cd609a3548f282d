"""Former names of the recipe's fields: grid files, journals and runs of before stay readable.

The identity of a trial keeps the former names, so that no finished trial is trained again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

FORMER_NAMES: Mapping[str, str] = {
    "lora_dropout": "adapter_dropout",
    "lora_targets": "adapter_targets",
    "lora_units": "adapter_units",
}
"""Former name -> name. They hold for every kind of adapter, not for LoRA alone."""
# Ids of trials are hashes of JSON with these keys: a renamed key would train every study again.
_FIRST_NAMES = {name: former for former, name in FORMER_NAMES.items()}


def with_current_names(values: Any) -> Any:
    """A mapping with field names as keys, each under its current name, in the same order.

    Anything but a mapping comes back as it is. Raises ValueError where a field is given under both
    of its names.
    """
    if not isinstance(values, Mapping):
        return values
    # Renaming first would let the later of the two win in silence.
    for former, name in FORMER_NAMES.items():
        if former in values and name in values:
            raise ValueError(given_twice(former))
    renamed = {}
    # the order stays: arms and tables list axes as the file does
    for name, value in values.items():
        renamed[FORMER_NAMES.get(name, name)] = value
    return renamed


def given_twice(former: str) -> str:
    """What is wrong where a field is given under its former name and its current one."""
    name = FORMER_NAMES[former]
    return f"is the former name of {name}, which is given too; keep {name}"


def first_name(name: str) -> str:
    """What a field was called at first: its own name for nearly all."""
    return _FIRST_NAMES.get(name, name)


def with_first_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same mapping as the first version would have written it: what is hashed."""
    renamed = {}
    for name, value in values.items():
        renamed[first_name(name)] = value
    return renamed


Levels = Annotated[dict[str, Any], BeforeValidator(with_current_names)]
"""Field -> value or values; former names are read as the current ones."""
