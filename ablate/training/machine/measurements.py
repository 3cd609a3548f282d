"""What was measured of this machine, taken once and kept, so that a resumed study computes alike.

Also how a time is measured.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from ablate.errors import StoreError
from ablate.files import write_text

# On a shared machine some of nine rounds are undisturbed.
ROUNDS = 9
Key = TypeVar("Key")
_LOG = logging.getLogger(__name__)


def measurement_file(home: Path, what: str, *details: object) -> Path:
    """Return where a measurement of this machine is kept.

    Another processor, torch or detail is another file.
    """
    # What decides how this machine computes: anything else in it and a resumed study measures
    # again.
    has_gpu = torch.cuda.is_available()
    parts = [torch.__version__, _processor(), str(has_gpu), *map(str, details)]
    # a separator that stands in no part
    key = "\x1f".join(parts)
    return home / f"{what}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.json"


def read_measurement(path: Path) -> dict[str, Any] | None:
    """Return what was measured before; None where nothing was, or the file is damaged."""
    try:
        values = json.loads(path.read_bytes().decode())
    except (OSError, ValueError, RecursionError):
        return None
    # JSON, but not what `write_measurement` wrote
    if not isinstance(values, dict):
        return None
    return values


def write_measurement(path: Path, values: Mapping[str, Any]) -> None:
    """Keep a measurement: without it a study that goes on might compute in another way.

    Raises StoreError.
    """
    try:
        write_text(path, json.dumps(values))
    except OSError as error:
        raise StoreError(
            f"what was measured of this machine must be kept, {path} cannot be written: {error}; "
            "set ABLATE_HOME to another place."
        ) from error


def warn_of_damage(path: Path) -> None:
    """Say that a file, where there is one, could not be used."""
    if path.exists():
        _LOG.warning(
            "%s is damaged, so this machine is measured again; trials of a study that goes on may "
            "differ in their last digits",
            path,
        )


def shortest(actions: Mapping[Key, Callable[[], object]]) -> dict[Key, float]:
    """Return the shortest seconds of each action over rounds that take them in turn.

    What else the machine does lengthens a time, nothing shortens it.
    """
    seconds = dict.fromkeys(actions, float("inf"))
    for _ in range(ROUNDS):
        for key, action in actions.items():
            start = time.perf_counter()
            action()
            seconds[key] = min(seconds[key], time.perf_counter() - start)
    return seconds


def _processor() -> str:
    """What tells processors apart that compute differently: on Linux the list of features."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        # "flags" on x86, "Features" on ARM; every core has the line, the first is as good as any
        features = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return platform.processor()
    return features.split(":", 1)[1].strip()
