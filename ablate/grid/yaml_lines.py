"""YAML with places: the values of a file and the line that each of them stands on."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

import yaml

from ablate.errors import SpecError
from ablate.grid.scalars import plain_value

Path = tuple[str | int, ...]
MAX_BYTES = 1_000_000
"""A grid file is a page of text."""
MAX_VALUES = 25_000
"""Keys, levels, seeds and whatever else stands in a file: the names of ImageNet-21k's classes fit."""
MAX_DEPTH = 12
"""Lists and mappings inside one another; the deepest that a grid file takes is half of that."""
MAX_TEXT = 2_000
"""Characters of one text: names, paths and reasons are shorter."""
_STR_TAG = "tag:yaml.org,2002:str"
_MERGE_KEY = "<<"
_LINE_BREAKS = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong, at a line (1-based) and a path such as ("axes", "freeze_depth", 2)."""

    line: int
    path: Path
    text: str

    def __str__(self) -> str:
        where = f"{dotted(self.path)}: " if self.path else ""
        return f"line {self.line}: {where}{printable(self.text)}"


@dataclass(frozen=True, slots=True)
class PlacedYaml:
    """Plain values, and where they stand."""

    values: Any
    lines: dict[Path, int]
    mistakes: tuple[Mistake, ...]
    """Keys that stand twice or are no text, and values that no field can take."""
    as_written: dict[Path, Path] = field(default_factory=dict)
    """Path -> the same with the former names of fields, where the file uses them."""

    def line(self, path: Path) -> int:
        """Line of the path, or of the nearest thing around it that exists."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def written(self, path: Path) -> Path:
        """The path with the names that the file uses, for messages about it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.as_written:
                return (*self.as_written[path[:end]], *path[end:])
        return path


def read_yaml(text: str) -> PlacedYaml:
    """Parse YAML into dicts, lists, text, numbers, switches and None.

    Raises SpecError with the line where the text is not YAML, is too large or too deep, has several documents, or uses aliases or tags.
    """
    if len(text) > MAX_BYTES:
        raise SpecError(f"a grid file must be at most {MAX_BYTES} characters, got {len(text)}")
    reader = _Reader()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise SpecError(f"{where}this is not YAML: {_problem(error)}") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        code = f"U+{ord(text[error.position]):04X}"
        raise SpecError(
            f"line {len(_LINE_BREAKS.findall(before)) + 1}: this is not YAML: it must have no control characters, got {code}"
        ) from None
    return PlacedYaml(reader.values, reader.lines, tuple(reader.mistakes))


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem or error.context)
    if r"'\t'" in problem:
        return f"{problem}; put spaces in place of the tab"
    return problem


def dotted(path: Path) -> str:
    """`("axes", "freeze_depth", 2)` -> `axes.freeze_depth[2]`."""
    text = ""
    for part in path:
        word = _short(part) if isinstance(part, str) else part
        text += f"[{part}]" if isinstance(part, int) else f".{word}" if text else str(word)
    return text


def printable(text: str) -> str:
    """The text in one line that every terminal can show."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _short(word: str) -> str:
    """A key or a tag as it can stand in a message."""
    shown = printable(word)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _line_of(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    values: Any
    path: Path
    key: str | None = None
    """Of a mapping: the key whose value comes next."""


@dataclass(slots=True)
class _Reader:
    """Events of YAML's parser made into values, without recursion: a file cannot be too deep for Python."""

    values: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    _open: list[_Open] = field(default_factory=list)
    _n_documents: int = 0
    _n_values: int = 0

    def take(self, event: yaml.Event) -> None:
        """Take the next event. Raises SpecError."""
        line = _line_of(event)
        if isinstance(event, yaml.DocumentStartEvent):
            self._n_documents += 1
            if self._n_documents > 1:
                raise SpecError(
                    f"line {line}: a grid file must be one YAML document, a second one begins here"
                )
        if isinstance(event, yaml.NodeEvent):
            self._check(event, line)
        if isinstance(event, yaml.ScalarEvent):
            self._take_scalar(event, line)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._begin([], line)
        elif isinstance(event, yaml.MappingStartEvent):
            self._begin({}, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()

    def _check(self, event: yaml.NodeEvent, line: int) -> None:
        """What ends the reading of a file."""
        tag = getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent):
            name = _short(event.anchor or "")
            raise SpecError(
                f"line {line}: a grid file must not use YAML aliases (*{name}): write the value out"
            )
        if tag is not None and not (tag == _STR_TAG and isinstance(event, yaml.ScalarEvent)):
            shown = _short(tag.replace("tag:yaml.org,2002:", "!!"))
            raise SpecError(
                f"line {line}: a grid file must not use YAML tags, got {shown}: write the plain value"
            )
        self._n_values += 1
        if self._n_values > MAX_VALUES:
            raise SpecError(
                f"line {line}: a grid file must hold at most {MAX_VALUES} values, here begins one more"
            )
        if len(self._open) > MAX_DEPTH:
            raise SpecError(
                f"line {line}: a grid file must have at most {MAX_DEPTH} lists and mappings inside one another, here begins one more"
            )

    def _take_scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        is_plain = event.style is None and event.tag is None
        inside = self._open[-1] if self._open else None
        if inside is not None and isinstance(inside.values, dict) and inside.key is None:
            inside.key = self._key(inside, event.value, is_plain=is_plain, line=line)
            return
        path = self._next_path(line)
        self._put(self._scalar(event.value, path, is_plain=is_plain, line=line))

    def _begin(self, values: list[Any] | dict[str, Any], line: int) -> None:
        inside = self._open[-1] if self._open else None
        if inside is not None and isinstance(inside.values, dict) and inside.key is None:
            raise SpecError(
                f"line {line}: a key must be text, got a list or a mapping, which begins here"
            )
        path = self._next_path(line)
        self._put(values)
        self._open.append(_Open(values, path))

    def _key(self, inside: _Open, text: str, *, is_plain: bool, line: int) -> str:
        """The text of a key, and what is wrong with it."""
        path = (*inside.path, text)
        value = self._scalar(text, path, is_plain=is_plain, line=line)
        if path in self.lines:
            self.mistakes.append(Mistake(line, path, "is given twice; keep one"))
        elif is_plain and text == _MERGE_KEY:
            self.mistakes.append(
                Mistake(
                    line,
                    path,
                    "is YAML's way to merge mappings, which a grid file does not take: write the fields out",
                )
            )
        elif not isinstance(value, str):
            self.mistakes.append(
                Mistake(line, path, f"must be text, got {value!r}; put it in quotes")
            )
        self.lines[path] = line
        return text

    def _scalar(self, text: str, path: Path, *, is_plain: bool, line: int) -> Any:
        """The value of a word. What no field can take is a mistake, and the word itself."""
        wrong = _unfit(text, may_have_lines=path[-1:] == ("why",))
        if wrong is None and is_plain:
            try:
                return plain_value(text)
            except ValueError as error:
                wrong = str(error)
        if wrong is not None:
            self.mistakes.append(Mistake(line, path, wrong))
        return text

    def _next_path(self, line: int) -> Path:
        """Where the next value stands. A value of a mapping is at the line of its key."""
        if not self._open:
            path: Path = ()
        else:
            inside = self._open[-1]
            path = (*inside.path, len(inside.values) if inside.key is None else inside.key)
        self.lines.setdefault(path, line)
        return path

    def _put(self, value: Any) -> None:
        if not self._open:
            self.values = value
            return
        inside = self._open[-1]
        if inside.key is None:
            inside.values.append(value)
        else:
            inside.values[inside.key] = value
            inside.key = None


def _unfit(text: str, *, may_have_lines: bool) -> str | None:
    """Why no field takes a text, or None. Control characters are what files, databases or terminals cannot hold or show."""
    if len(text) > MAX_TEXT:
        return f"must be at most {MAX_TEXT} characters, got {len(text)}"
    taken = "\n\t" if may_have_lines else ""
    odd = next(
        (c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in taken),
        None,
    )
    return None if odd is None else f"must have no control characters, got U+{ord(odd):04X}"
