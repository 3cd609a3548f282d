"""`--set base.epochs=3`: values from the command line in place of those in the grid file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ablate.errors import SpecError
from ablate.grid.yaml_lines import NOT_IN_FILE, YamlFile, YamlPath, dotted, read_yaml

OPTION = "--set"
_SHAPE = f"{OPTION} takes FIELD=VALUE, with dots between the names of a field, e.g. base.epochs=3"


def with_settings(file: YamlFile, settings: Sequence[str]) -> YamlFile:
    """Return the file as if each setting stood in it; the last one of a field wins.

    A value is YAML, as it would stand behind the colon: `axes.augment=[none, strong]`. Fields that
    the file leaves out are added. Raises SpecError for what is no setting, and for a field below
    something that has no fields.
    """
    if not settings or not isinstance(file.values, dict):
        return file
    values = file.values
    lines = dict(file.lines)
    mistakes = list(file.mistakes)
    for setting in settings:
        path, value = _read(setting)
        values = _placed(values, path, value.values, ())
        # What stood below the field in the file is gone, and its mistakes with it.
        lines = {known: line for known, line in lines.items() if known[: len(path)] != path}
        mistakes = [mistake for mistake in mistakes if mistake.path[: len(path)] != path]
        for below in value.lines:
            lines[(*path, *below)] = NOT_IN_FILE
        for mistake in value.mistakes:
            mistakes.append(replace(mistake, line=NOT_IN_FILE, path=(*path, *mistake.path)))
    return replace(file, values=values, lines=lines, mistakes=tuple(mistakes))


def _read(setting: str) -> tuple[YamlPath, YamlFile]:
    name, equals, text = setting.partition("=")
    path = tuple(part.strip() for part in name.split("."))
    if not equals or not all(path):
        raise SpecError(f"{_SHAPE}; got {setting!r}")
    if not text.strip():
        raise SpecError(f"{_SHAPE}; {dotted(path)} has no value, null is one")
    try:
        return path, read_yaml(text)
    except SpecError as error:
        raise SpecError(f"{OPTION} {dotted(path)}: {error}") from None


def _placed(values: Any, path: YamlPath, value: Any, above: YamlPath) -> Any:
    """Copies of the mappings along the path, with the value at its end."""
    if not path:
        return value
    if not isinstance(values, dict):
        raise SpecError(
            f"{OPTION} {dotted((*above, *path))}: {dotted(above)} must be a mapping to have the "
            f"field {path[0]}; give {dotted(above)} itself"
        )
    name = path[0]
    inner = values.get(name)
    if inner is None and len(path) > 1:
        inner = {}  # a section that the file leaves out, or leaves empty
    return {**values, name: _placed(inner, path[1:], value, (*above, name))}
