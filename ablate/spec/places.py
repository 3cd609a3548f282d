"""YAML with places: the values of a file and the line that each of them stands on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from ablate.errors import SpecError

Path = tuple[str | int, ...]
MAX_BYTES = 1_000_000
"""A grid file is a page of text; YAML aliases could make a small file huge in memory."""


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads `1e-3` as a float, as YAML 1.2 does; PyYAML's YAML 1.1 takes it for text."""


_Loader.yaml_implicit_resolvers = {first: list(rules) for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789"))


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong, at a line (1-based) and a path such as ("axes", "freeze_depth", 2)."""

    line: int
    path: Path
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {dotted(self.path)}: {self.text}" if self.path else f"line {self.line}: {self.text}"


@dataclass(frozen=True, slots=True)
class PlacedYaml:
    """Plain values, and where they stand."""

    values: Any
    lines: dict[Path, int]
    duplicates: tuple[Mistake, ...]

    def line(self, path: Path) -> int:
        """Line of the path, or of the nearest thing around it that exists."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_yaml(text: str) -> PlacedYaml:
    """Parse YAML safely. Raises SpecError with line and column where the text is not YAML, is too large or uses aliases."""
    if len(text) > MAX_BYTES:
        raise SpecError(f"a grid file must be at most {MAX_BYTES} characters, got {len(text)}")
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_Loader)):
            raise SpecError("a grid file must not use YAML aliases (*name): write the value out")
        node = yaml.compose(text, Loader=_Loader)
        if node is None:
            return PlacedYaml(None, {}, ())
        lines = {path: line for path, line, _ in _walk(node, ())}
        doubles = tuple(Mistake(line, path, "is given twice; keep one") for path, line, is_double in _walk(node, ()) if is_double)
        return PlacedYaml(yaml.load(text, Loader=_Loader), lines, doubles)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise SpecError(f"{where}this is not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise SpecError(f"this is not YAML: {' '.join(str(error).split())}") from None


def dotted(path: Path) -> str:
    """`("axes", "freeze_depth", 2)` -> `axes.freeze_depth[2]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _walk(node: yaml.Node, path: Path) -> Iterator[tuple[Path, int, bool]]:
    """Yield (path, line, is_a_second_one) for the node and all below it."""
    if not path:
        yield path, node.start_mark.line + 1, False
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            below = (*path, str(key.value))
            yield below, key.start_mark.line + 1, str(key.value) in seen
            seen.add(str(key.value))
            yield from _walk(value, below)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line + 1, False
            yield from _walk(value, (*path, index))
