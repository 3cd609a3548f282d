"""What is wrong with the axes and the tuned fields: their names, and each of their levels."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ablate.grid.pydantic_errors import problems_of
from ablate.grid.search_space import Choice, Range
from ablate.grid.wording import nearest, shown
from ablate.grid.yaml_lines import Problem, YamlPath
from ablate.recipe.levels import MAX_LEVELS, meaning
from ablate.recipe.recipe import Recipe
from ablate.recipe.shown_part import SHOWN_FIELDS


def axis_mistakes(axes: Any) -> Iterator[Problem]:
    """Every axis must be a field of base, every level a value of that field."""
    if not isinstance(axes, dict):
        return
    for axis, levels in axes.items():
        # Without a field of that name there is nothing that its levels could be checked by.
        if axis not in Recipe.model_fields:
            yield ("axes", axis), _unknown_field(axis)
        elif isinstance(levels, dict):
            yield from _searched_mistakes(axis, levels)
        else:
            yield from _level_mistakes(("axes", axis), levels)


def tuned_mistakes(tune: Any) -> Iterator[Problem]:
    """Every tuned field must be one of base, with at least two levels to choose from."""
    if not isinstance(tune, dict):
        return
    for name, levels in tune.items():
        if name not in Recipe.model_fields:
            yield ("tune", name), _unknown_field(name)
        # One level belongs in base. An axis may have one: grids are cut down while they are tried
        # out.
        elif isinstance(levels, list) and len(levels) == 1:
            yield (
                ("tune", name),
                f"must have at least two levels to choose from, got {shown(levels)}",
            )
        else:
            yield from _level_mistakes(("tune", name), levels)


def _unknown_field(name: str) -> str:
    return f"must be a field of base, got {shown(name)}{nearest(name, Recipe.model_fields)}"


def _searched_mistakes(axis: str, searched: Mapping[str, Any]) -> Iterator[Problem]:
    """A range or a conditional list of levels: valid itself, and made of values of the field."""
    # As pydantic decides it: a file that has both is told that a choice has no bounds.
    model: type[Choice] | type[Range] = Range
    if "levels" in searched:
        model = Choice
    try:
        model.model_validate(searched)
    except ValidationError as error:
        for path, text in problems_of(error, searched, root=model):
            yield ("axes", axis, *path), text
        return
    if model is Choice:
        yield from _level_mistakes(("axes", axis, "levels"), searched["levels"])
    elif axis in SHOWN_FIELDS:
        yield (
            ("axes", axis),
            "must be a list of levels: images are decoded for each of them before the search",
        )
    else:
        for bound in ("low", "high"):
            yield from _value_mistakes(("axes", axis, bound), axis, searched[bound])


def _level_mistakes(path: YamlPath, levels: Any) -> Iterator[Problem]:
    """Each level must be a value of the field, and differ in meaning from those before it."""
    if not isinstance(levels, list) or not levels:
        yield path, f"must be a list of at least one level, got {shown(levels)}"
        return
    if len(levels) > MAX_LEVELS:
        yield (
            path,
            f"must have at most {MAX_LEVELS} levels, got {len(levels)}; "
            "a search takes a range of them",
        )
        return
    # path[1] is the field in all three places: axes, tune, and the levels of a choice.
    name = str(path[1])
    earlier: dict[Hashable, str] = {}  # what a level means -> how it is written
    for index, level in enumerate(levels):
        level_meaning = meaning(name, level)
        words = shown(level)
        if level_meaning in earlier:
            yield (*path, index), _repeated(words, earlier[level_meaning])
        earlier.setdefault(level_meaning, words)
        yield from _value_mistakes((*path, index), name, level)


def _repeated(words: str, earlier: str) -> str:
    """`got 0 again`, or for another spelling of an earlier level `got 0.0, which is 0 again`."""
    if words != earlier:
        words = f"{words}, which is {earlier}"
    return f"must differ from the levels before it, got {words} again"


def _value_mistakes(path: YamlPath, name: str, value: Any) -> Iterator[Problem]:
    """What a field does not take; where only a part of the value is wrong, that part's path."""
    try:
        # Every other field has a default, so one field makes a recipe, and only its errors come.
        Recipe.model_validate({name: value})
    except ValidationError as error:
        # The path begins with the field's name, which is in `path` already.
        for within, text in problems_of(error, {name: value}, root=Recipe):
            yield (*path, *within[1:]), text
