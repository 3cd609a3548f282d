"""Values of a file that may be anything yet: taken as what they should be, or as nothing.

For checks that run before the file is known to be right; pydantic says what is wrong with the rest.
"""

from __future__ import annotations

from typing import Any


def mapping_or_empty(value: Any) -> dict[str, Any]:
    """The value where it is a mapping, else an empty one."""
    if isinstance(value, dict):
        return value
    return {}


def list_or_empty(value: Any) -> list[Any]:
    """The value where it is a list, else an empty one."""
    if isinstance(value, list):
        return value
    return []
