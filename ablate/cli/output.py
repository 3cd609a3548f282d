"""What a command prints: lines for people, or with `--json` one document for programs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console


def console_for(*, is_json: bool) -> Console:
    """The console of a command: standard output belongs to the document where there is one."""
    from ablate.console.screen import make_console

    return make_console(is_error=is_json)


def print_document(value: object) -> None:
    """Print one JSON document on standard output."""
    typer.echo(json.dumps(plain(value), ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """A value as JSON knows it: frames as lists of rows, numbers that are not finite as null."""
    # First, because an enumeration of words is a str as well.
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        # NaN and Infinity are no JSON, though Python's json writes them.
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if hasattr(value, "model_dump"):  # pydantic, without importing it
        return plain(value.model_dump(mode="json"))
    if hasattr(value, "to_dict"):  # a DataFrame, without importing pandas
        return [plain(row) for row in value.to_dict("records")]
    if hasattr(value, "item"):  # a number of numpy
        return plain(value.item())
    return [plain(inner) for inner in value]
