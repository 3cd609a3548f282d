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
    axes = values.get("axes")
    baseline = values.get("baseline")
    # What is no mapping is a mistake, and named as one later.
    if not isinstance(axes, dict) or not isinstance(baseline, dict):
        return dict(values)
    spelled = {}
    for axis, level in baseline.items():
        spelled[axis] = _as_spelled(axis, level, axes.get(axis))
    return {**values, "baseline": spelled}


def _as_spelled(axis: str, level: Any, levels: Any) -> Any:
    """The last of `levels` that means the same as `level`; the level itself where none does."""
    if axis not in Recipe.model_fields or not isinstance(levels, list):
        return level
    spelling = {meaning(axis, known): known for known in levels}
    return spelling.get(meaning(axis, level), level)
