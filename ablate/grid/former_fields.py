"""Grid files that call a field of the recipe by its former name, read as if by its current one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ablate.grid.yaml_lines import Mistake, YamlFile, YamlPath
from ablate.recipe.former_names import FORMER_NAMES, given_twice

_FIELDS_OF = frozenset({("base",), ("axes",), ("tune",), ("baseline",)})
"""Places in a grid file whose keys are fields of the recipe.

More are `when`, of an axis or a rule, and the sides of questions.
"""


def with_current_fields(file: YamlFile) -> YamlFile:
    """The same file with each field under its current name. A field under both is a mistake."""
    if not isinstance(file.values, dict):
        return file
    mistakes = list(file.mistakes)
    # Paths change with the names, so lines go along, or messages would point at line 1.
    lines: dict[YamlPath, int] = {}
    as_written: dict[YamlPath, YamlPath] = {}
    for path, line in file.lines.items():
        current = _current(path)
        lines[current] = line
        if current != path:
            as_written[current] = path
        # Once, at the name itself, and not again at each value below it.
        if _is_former(path) and current in file.lines:
            mistakes.append(Mistake(line, path, given_twice(str(path[-1]))))
    return replace(
        file,
        values=_renamed(file.values, ()),
        lines=lines,
        mistakes=tuple(mistakes),
        as_written=as_written,
    )


def _is_former(path: YamlPath) -> bool:
    """Whether the last part of a path is the former name of a field.

    Only at the place of a field: a class may be called so too.
    """
    if not path or path[-1] not in FORMER_NAMES:
        return False
    parent = path[:-1]
    is_condition = parent[-1:] == ("when",) and parent[0] in ("axes", "exclude")
    # the sides of a question; its name stands right below `ask` and is the user's own
    is_side = len(parent) > 1 and parent[0] == "ask"
    return parent in _FIELDS_OF or is_condition or is_side


def _current(path: YamlPath) -> YamlPath:
    """A path with the current name for every former one on it."""
    parts = list(path)
    for position, part in enumerate(path):
        if _is_former(path[: position + 1]):
            parts[position] = FORMER_NAMES[str(part)]
    return tuple(parts)


def _renamed(values: Any, path: YamlPath) -> Any:
    """Values at a path, and all below, under current names."""
    if isinstance(values, dict):
        renamed = {}
        for key, value in values.items():
            # In the file's own names, by which `_is_former` knows the places of fields.
            place = (*path, key)
            name = key
            if _is_former(place):
                name = FORMER_NAMES[key]
            renamed[name] = _renamed(value, place)
        return renamed
    if isinstance(values, list):
        items = []
        for position, value in enumerate(values):
            items.append(_renamed(value, (*path, position)))
        return items
    return values
