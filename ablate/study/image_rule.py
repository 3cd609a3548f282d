"""What tells the group of an image, or its time: a part of its path, or a cell of its CSV."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from ablate.errors import escaped

GROUP = "group"
"""A named group of this name is taken rather than the first one."""
_FORMS = "a regular expression with a group in parentheses, {level: number} or {column: name}"
_MOST_LEVELS = 100
_FROZEN = ConfigDict(frozen=True, extra="forbid")


class Level(BaseModel):
    """The name of a folder that the image lies in."""

    model_config = _FROZEN
    level: int
    """1 is the first folder below `data.path`, -1 the one that holds the image."""


class Column(BaseModel):
    """The cell of the image's row."""

    model_config = _FROZEN
    column: str


def _checked(value: Any) -> Any:
    """The value itself. Raises ValueError for what is none of the three forms."""
    if isinstance(value, Level | Column):
        return value
    if isinstance(value, str):
        _check_expression(value)
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((form, content),) = value.items()
        is_text = isinstance(content, str) and content != ""
        if form == "column" and is_text:
            return Column(column=content)
        # `true` is an int in Python, and no level of a tree.
        is_number = isinstance(content, int) and not isinstance(content, bool)
        if form == "level" and is_number and 0 < abs(content) <= _MOST_LEVELS:
            return Level(level=content)
    raise ValueError(
        f"must be {_FORMS}; levels count from 1, the first folder below data.path, or back from "
        "-1, the folder that holds the image"
    )


def _check_expression(text: str) -> None:
    try:
        # Compiled to be judged; `re` keeps compiled ones, so finding does not compile again.
        expression = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"must be {_FORMS}; this is no regular expression ({error})") from error
    if not expression.groups:
        raise ValueError(
            f"must be {_FORMS}; this one has no group: put what images of one group share in "
            "parentheses, e.g. '(part[0-9]+)_'"
        )


ImageRule = Annotated[
    str | Level | Column,
    BeforeValidator(_checked),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {
                    "type": "object",
                    "additionalProperties": False,
                    "minProperties": 1,
                    "maxProperties": 1,
                    "properties": {
                        "level": {"type": "integer", "not": {"const": 0}},
                        "column": {"type": "string", "minLength": 1},
                    },
                },
            ]
        }
    ),
]


def found_in_path(rule: str | Level, image_id: str) -> str | None:
    """Return what a rule finds in the path of an image; None, or nothing, where it finds none."""
    if isinstance(rule, Level):
        folders = image_id.split("/")[:-1]
        # Levels count from 1, positions from 0; from the end both count from -1.
        position = rule.level - 1 if rule.level > 0 else rule.level
        if not -len(folders) <= position < len(folders):
            return None
        return folders[position]
    # Anywhere in the path: a file name without its folders would tell less.
    match = re.search(rule, image_id)
    if match is None:
        return None
    name: int | str = 1
    # A named group is meant even where others stand before it.
    if GROUP in match.re.groupindex:
        name = GROUP
    return match[name]


def rule_in_words(rule: str | Level | Column) -> str:
    """Return the rule as a sentence names it."""
    if isinstance(rule, Column):
        return f"column {escaped(rule.column)}"
    if isinstance(rule, Level):
        return f"folder level {rule.level}"
    # Not its repr, which doubles every backslash.
    return f"the expression '{escaped(rule)}'"
