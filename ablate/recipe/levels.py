"""Levels by what they mean: `0`, `0.0` and `0e0` are one level of a field of numbers."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ablate.recipe.recipe import Recipe

MAX_LEVELS = 1_000
"""Of one axis, or of one field that is tuned."""
_WEIGHTS_WITHOUT_FILE = frozenset({"auto", "hub", "torchvision", "none"})


def typed_level(name: str, level: Any) -> Any:
    """A level as the recipe's field keeps it.

    Lists become tuples, whole numbers of float fields become floats. Raises ValidationError for one
    that the field does not take.
    """
    return getattr(Recipe.model_validate({name: level}), name)


def meaning(name: str, level: Any) -> Hashable:
    """What a written level means: equal for levels that train alike.

    One that the field does not take means itself.
    """
    try:
        typed: Hashable = typed_level(name, level)
    except ValidationError:
        return ("not a level", type(level).__name__, repr(level))
    if name == "weights" and typed not in _WEIGHTS_WITHOUT_FILE:
        return ("file", os.path.normpath(str(typed)))  # w.pth and ./w.pth are one file
    return typed


def asked_levels(wanted: Any) -> Sequence[Any]:
    """The levels of a condition: a list of them, or a single one."""
    return wanted if isinstance(wanted, list | tuple) else (wanted,)


def as_written(values: Mapping[str, Any]) -> dict[str, Any]:
    """A grid file's values with the levels of `baseline` spelled as the axes spell them.

    So that equal levels are equal values.
    """
    axes = _mapping(values.get("axes"))
    spelling = {
        axis: {meaning(axis, level): level for level in levels}
        for axis, levels in axes.items()
        if isinstance(levels, list) and axis in Recipe.model_fields
    }

    def spelled(axis: str, level: Any) -> Any:
        return spelling[axis].get(meaning(axis, level), level) if axis in spelling else level

    changed = dict(values)
    if isinstance(values.get("baseline"), dict):
        changed["baseline"] = {
            axis: spelled(axis, level) for axis, level in values["baseline"].items()
        }
    return changed


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
