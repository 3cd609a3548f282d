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
        if not math.isfinite(value):
            return None
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        # JSON has no other keys than text.
        return {str(key): plain(inner) for key, inner in value.items()}
    if dataclasses.is_dataclass(value):
        # Not `asdict`: it would copy frames and models inside, which have forms of their own here.
        document = {}
        for field in dataclasses.fields(value):
            document[field.name] = plain(getattr(value, field.name))
        return document
    if hasattr(value, "model_dump"):  # pydantic, without importing it
        return plain(value.model_dump(mode="json"))
    if hasattr(value, "to_dict"):  # a DataFrame, without importing pandas
        return list(map(plain, value.to_dict("records")))
    if hasattr(value, "item"):  # a number of numpy
        return plain(value.item())
    # Tuples, sets, arrays: whatever else there is can be gone through.
    return list(map(plain, value))
