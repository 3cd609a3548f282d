"""Grid files that call a field of the recipe by its former name, read as if by its current one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ablate.grid.yaml_lines import Mistake, YamlFile, YamlPath
from ablate.recipe.former_names import FORMER_NAMES, given_twice

_FIELDS_OF = frozenset({("base",), ("axes",), ("tune",), ("baseline",)})
"""Places in a grid file whose keys are fields of the recipe; `when`, of an axis or a rule, is more."""


def with_current_fields(file: YamlFile) -> YamlFile:
    """The same file with each field under its current name. A field under both is a mistake."""
    if not isinstance(file.values, dict):
        return file
    current = {path: _current(path) for path in file.lines}
    given = frozenset(path for path in file.lines if current[path] == path)
    mistakes = [
        Mistake(file.line(path), path, given_twice(str(path[-1])))
        for path in file.lines
        if _is_former(path) and current[path] in given
    ]
    return replace(
        file,
        values=_renamed(file.values, ()),
        lines={current[path]: line for path, line in file.lines.items()},
        mistakes=(*file.mistakes, *mistakes),
        as_written={current[path]: path for path in file.lines if current[path] != path},
    )


def _is_former(path: YamlPath) -> bool:
    """Whether the last part of a path is the former name of a field: a class may be called so too."""
    if not path or path[-1] not in FORMER_NAMES:
        return False
    parent = path[:-1]
    is_condition = parent[-1:] == ("when",) and parent[0] in ("axes", "exclude")
    return parent in _FIELDS_OF or is_condition


def _current(path: YamlPath) -> YamlPath:
    """A path with every former name on it refile."""
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
            place = (*path, key)
            name = FORMER_NAMES[key] if _is_former(place) else key
            renamed[name] = _renamed(value, place)
        return renamed
    if isinstance(values, list):
        return [_renamed(value, (*path, position)) for position, value in enumerate(values)]
    return values
