"""Levels by what they mean: `0`, `0.0` and `0e0` are one level of a field of numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ablate.recipe.paths import WEIGHTS_WORDS
from ablate.recipe.phase import Phase
from ablate.recipe.recipe import Recipe

MAX_LEVELS = 1_000
"""Of one axis, or of one field that is tuned."""


def typed_level(name: str, level: Any) -> Any:
    """A level as the recipe's field keeps it.

    Lists become tuples, whole numbers of float fields become floats. Raises ValidationError for one
    that the field does not take.
    """
    # The whole recipe is validated, since pydantic offers no public way to validate one field.
    return getattr(Recipe.model_validate({name: level}), name)


def meaning(name: str, level: Any) -> Hashable:
    """What a written level means: equal for levels that train alike.

    One that the field does not take means itself.
    """
    try:
        typed: Hashable = typed_level(name, level)
    except ValidationError:
        # With the type, as True == 1 and 1 == 1.0 in Python; repr, as lists cannot be hashed.
        return ("not a level", type(level).__name__, repr(level))
    # anything but a word is a path there
    if name == "weights" and typed not in WEIGHTS_WORDS:
        return ("file", os.path.normpath(str(typed)))  # w.pth and ./w.pth are one file
    return typed


def level_text(level: Any) -> str:
    """A level in tables and sentences, spelled as the names of arms spell it.

    Words as they are, numbers in their shortest form, lists joined: `8xall(head_lr=0.01)+4`. Equal
    only for equal levels of an axis: a list that could be taken for another one stays in brackets.
    """
    # without JSON's quotes, which would stand in the name of every arm
    if isinstance(level, str):
        return level
    if not isinstance(level, list | tuple):
        return json.dumps(level)
    words: list[str] = []
    for element in level:
        word = _element_text(element)
        if word is None:
            return json.dumps(level, default=_as_json)
        words.append(word)
    # an empty list: a name must not end in nothing behind its "="
    return "+".join(words) or "none"


def _element_text(element: Any) -> str | None:
    """An element of a list; None where its short form could be that of another one."""
    if isinstance(element, str):
        # "+" joins elements: one inside would read as two of them
        if "+" in element:
            return None
        return element
    try:
        phase = Phase.model_validate(element)
    except ValidationError:
        return None
    for rate in (phase.head_lr, phase.lr_ratio):
        # the short form of a phase has six digits of its rates
        if rate is not None and float(f"{rate:g}") != rate:
            return None
    return str(phase)


def _as_json(element: Any) -> Any:
    return element.model_dump(mode="json")


def asked_levels(wanted: Any) -> Sequence[Any]:
    """The levels of a condition: a list of them, or a single one."""
    if isinstance(wanted, list | tuple):
        return wanted
    return (wanted,)


def as_written(values: Mapping[str, Any]) -> dict[str, Any]:
    """A grid file's values with the levels of `baseline` and `ask` spelled as the axes spell them.

    So that equal levels are equal values.
    """
    written = dict(values)
    axes = values.get("axes")
    # What is no mapping is a mistake, and named as one later.
    if not isinstance(axes, dict):
        return written
    if isinstance(values.get("baseline"), dict):
        written["baseline"] = _spelled_cell(values["baseline"], axes)
    if isinstance(values.get("ask"), dict):
        questions = {}
        for name, sides in values["ask"].items():
            questions[name] = _spelled_sides(sides, axes)
        written["ask"] = questions
    return written


def _spelled_cell(cell: Any, axes: Mapping[str, Any]) -> Any:
    if not isinstance(cell, dict):
        return cell
    spelled = {}
    for axis, level in cell.items():
        spelled[axis] = _as_spelled(axis, level, axes.get(axis))
    return spelled


def _spelled_sides(sides: Any, axes: Mapping[str, Any]) -> Any:
    """The two sides of a question: cells, or two levels of an axis."""
    if isinstance(sides, list):
        return [_spelled_cell(cell, axes) for cell in sides]
    if not isinstance(sides, dict):
        return sides
    spelled = {}
    for axis, pair in sides.items():
        spelled[axis] = pair
        if isinstance(pair, list):
            spelled[axis] = [_as_spelled(axis, level, axes.get(axis)) for level in pair]
    return spelled


def _as_spelled(axis: str, level: Any, levels: Any) -> Any:
    """The last of `levels` that means the same as `level`; the level itself where none does."""
    if axis not in Recipe.model_fields or not isinstance(levels, list):
        return level
    # Of two spellings of one level the last stays here; the parser refuses such an axis anyway.
    spelling = {}
    for known in levels:
        spelling[meaning(axis, known)] = known
    return spelling.get(meaning(axis, level), level)
