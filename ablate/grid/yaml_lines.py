"""YAML with line numbers: the values of a file and the line that each of them stands on."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

import yaml

from ablate.errors import SpecError
from ablate.grid.scalars import plain_value

YamlPath = tuple[str | int, ...]
"""Keys and list positions from the top of the file to a value."""
Problem = tuple[YamlPath, str]
"""What is wrong with the value at a path: a `Mistake` whose line is not looked up yet."""
NOT_IN_FILE = 0
"""The line of what the command line has set."""
MAX_CHARACTERS = 1_000_000
"""A grid file is a page of text."""
MAX_VALUES = 25_000
"""Keys, levels, seeds and everything else in a file: enough to name ImageNet-21k's classes."""
MAX_DEPTH = 12
"""Nesting of lists and mappings; a valid grid file needs at most half of that."""
MAX_TEXT = 2_000
"""Characters of one text: names, paths and reasons are shorter."""
# Of a key in a message: it must not push the sentence out of sight.
_MAX_SHOWN = 80
# `!!str 1` is the one tag that is let through: it makes text, and nothing else, of any word.
_STR_TAG = "tag:yaml.org,2002:str"
_MERGE_KEY = "<<"
# All that end a line in YAML 1.1, as PyYAML counts lines.
_LINE_BREAKS = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong, at a line (1-based) and a path: ("axes", "freeze_depth", 2).

    Line 0 is the command line's `--set`.
    """

    line: int
    path: YamlPath
    text: str

    def __str__(self) -> str:
        prefix = ""
        if self.path:
            prefix = f"{dotted(self.path)}: "
        text = f"{prefix}{printable(self.text)}"
        if self.line == NOT_IN_FILE:
            return f"--set {text}"
        return f"line {self.line}: {text}"


@dataclass(frozen=True, slots=True)
class YamlFile:
    """Plain values, and the lines that they stand on."""

    values: Any
    lines: dict[YamlPath, int]
    mistakes: tuple[Mistake, ...]
    """Keys that are given twice or are no text, and values that no field can take."""
    as_written: dict[YamlPath, YamlPath] = field(default_factory=dict)
    """Path -> the same with the former names of fields, where the file uses them."""

    def line(self, path: YamlPath) -> int:
        """Line of the path, or of the nearest value around it that exists."""
        # A field that is missing has no line: the mapping that lacks it has one.
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def written(self, path: YamlPath) -> YamlPath:
        """The path with the names that the file uses, for messages about it."""
        # From the longest part on: a former name can stand below another one.
        for end in range(len(path), 0, -1):
            if path[:end] in self.as_written:
                return (*self.as_written[path[:end]], *path[end:])
        return path


def read_yaml(text: str) -> YamlFile:
    """Parse YAML into dicts, lists, text, numbers, switches and None.

    Raises SpecError with the line where the text is not YAML, is too large or too deep, has several
    documents, or uses aliases or tags.
    """
    if len(text) > MAX_CHARACTERS:
        raise SpecError(f"a grid file must be at most {MAX_CHARACTERS} characters, got {len(text)}")
    reader = _Reader()
    try:
        # Events, not yaml.load: only they carry line numbers, and nothing is built from tags.
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        raise SpecError(_syntax_message(error)) from None
    # PyYAML's reader knows the place of a character, not its line.
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line = len(_LINE_BREAKS.findall(before)) + 1
        code = f"U+{ord(text[error.position]):04X}"
        raise SpecError(
            f"line {line}: this is not YAML: it must have no control characters, got {code}"
        ) from None
    return YamlFile(reader.values, reader.lines, tuple(reader.mistakes))


def _syntax_message(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem or error.context)
    # PyYAML says only that a character "cannot start any token".
    if r"'\t'" in problem:
        problem += "; put spaces in place of the tab"
    mark = error.problem_mark or error.context_mark
    position = ""
    if mark:
        position = f"line {mark.line + 1}, column {mark.column + 1}: "  # PyYAML counts from 0
    return f"{position}this is not YAML: {problem}"


def dotted(path: YamlPath) -> str:
    """`("axes", "freeze_depth", 2)` -> `axes.freeze_depth[2]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif text:
            text += f".{_short(part)}"
        else:
            text = _short(part)
    return text


def printable(text: str) -> str:
    """The text in one line that every terminal can show."""
    shown = ""
    for character in text:
        if not character.isprintable():
            character = repr(character)[1:-1]  # as Python writes it, without the quotes
        shown += character
    return shown


def _short(word: str) -> str:
    """A key or a tag as it can stand in a message."""
    shown = printable(word)
    if len(shown) > _MAX_SHOWN:
        shown = shown[: _MAX_SHOWN - 3] + "..."
    return shown


def _line_of(event: yaml.Event) -> int:
    # PyYAML counts from 0.
    return event.start_mark.line + 1 if event.start_mark else 1


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    values: Any
    path: YamlPath
    key: str | None = None
    """Of a mapping: the key whose value comes next."""

    @property
    def awaits_key(self) -> bool:
        return isinstance(self.values, dict) and self.key is None


@dataclass(slots=True)
class _Reader:
    """Turns the events of YAML's parser into values.

    Without recursion: no file can be nested too deeply for Python's stack.
    """

    values: Any = None
    lines: dict[YamlPath, int] = field(default_factory=dict)
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
        # Scalars, aliases and the beginnings of lists and mappings: whatever has or is a value.
        if isinstance(event, yaml.NodeEvent):
            _check_plain(event, line)
            self._check_size(line)
        if isinstance(event, yaml.ScalarEvent):
            self._take_scalar(event, line)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._begin([], line)
        elif isinstance(event, yaml.MappingStartEvent):
            self._begin({}, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()

    def _check_size(self, line: int) -> None:
        self._n_values += 1
        if self._n_values > MAX_VALUES:
            raise SpecError(
                f"line {line}: a grid file must hold at most {MAX_VALUES} values, "
                "one more begins here"
            )
        if len(self._open) > MAX_DEPTH:
            raise SpecError(
                f"line {line}: a grid file must have at most {MAX_DEPTH} lists and mappings "
                "inside one another, one more begins here"
            )

    def _take_scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        # Quoted words stay text: '1' is no number.
        is_plain = event.style is None and event.tag is None
        if self._open and self._open[-1].awaits_key:
            # YAML's events do not tell keys from values: in a mapping they take turns.
            mapping = self._open[-1]
            mapping.key = self._key(mapping, event.value, is_plain=is_plain, line=line)
            return
        path = self._next_path(line)
        self._put(self._scalar(event.value, path, is_plain=is_plain, line=line))

    def _begin(self, values: list[Any] | dict[str, Any], line: int) -> None:
        if self._open and self._open[-1].awaits_key:
            raise SpecError(
                f"line {line}: a key must be text, got a list or a mapping, which begins here"
            )
        path = self._next_path(line)
        self._put(values)
        self._open.append(_Open(values, path))

    def _key(self, mapping: _Open, text: str, *, is_plain: bool, line: int) -> str:
        """The text of a key, after what is wrong with it was noted."""
        path = (*mapping.path, text)
        value = self._scalar(text, path, is_plain=is_plain, line=line)
        # Noted, not raised: whoever mends the file wants its other mistakes in the same message.
        mistake = None
        if path in self.lines:
            mistake = "is given twice; keep one"
        elif is_plain and text == _MERGE_KEY:
            mistake = (
                "is YAML's way to merge mappings, which a grid file does not take: "
                "write the fields out"
            )
        elif not isinstance(value, str):
            mistake = f"must be text, got {value!r}; put it in quotes"
        if mistake is not None:
            self.mistakes.append(Mistake(line, path, mistake))
        # The last of two equal keys wins, its line too, as in PyYAML.
        self.lines[path] = line
        return text

    def _scalar(self, text: str, path: YamlPath, *, is_plain: bool, line: int) -> Any:
        """The value of a word; a word that no field can take is noted as a mistake and kept."""
        # The reason of an exclusion is the one text that may take several lines.
        mistake = _text_mistake(text, may_have_lines=path[-1:] == ("why",))
        if mistake is None and is_plain:
            try:
                return plain_value(text)
            except ValueError as error:
                mistake = str(error)
        if mistake is not None:
            self.mistakes.append(Mistake(line, path, mistake))
        return text

    def _next_path(self, line: int) -> YamlPath:
        """The path of the next value, whose line is noted."""
        path: YamlPath = ()
        if self._open:
            innermost = self._open[-1]
            within: str | int = len(innermost.values)
            if innermost.key is not None:
                within = innermost.key
            path = (*innermost.path, within)
        # A list's values are counted: the next one's index is how many there are.
        # A value of a mapping already has the line of its key, and keeps it.
        self.lines.setdefault(path, line)
        return path

    def _put(self, value: Any) -> None:
        if not self._open:
            self.values = value
            return
        innermost = self._open[-1]
        if innermost.key is None:
            innermost.values.append(value)
        else:
            innermost.values[innermost.key] = value
            innermost.key = None


def _check_plain(event: yaml.NodeEvent, line: int) -> None:
    """Check that a node uses no alias and no tag. Raises SpecError."""
    # Aliases can blow a small file up to gigabytes, and tags can name Python's classes.
    if isinstance(event, yaml.AliasEvent):
        name = _short(event.anchor or "")
        raise SpecError(
            f"line {line}: a grid file must not use YAML aliases (*{name}): write the value out"
        )
    tag = getattr(event, "tag", None)
    is_text = tag == _STR_TAG and isinstance(event, yaml.ScalarEvent)
    if tag is not None and not is_text:
        shown = _short(tag.replace("tag:yaml.org,2002:", "!!"))
        raise SpecError(
            f"line {line}: a grid file must not use YAML tags, got {shown}: write the plain value"
        )


def _text_mistake(text: str, *, may_have_lines: bool) -> str | None:
    """Why no field takes a text, or None.

    Files, databases or terminals cannot hold or show control characters.
    """
    if len(text) > MAX_TEXT:
        return f"must be at most {MAX_TEXT} characters, got {len(text)}"
    allowed = ""
    if may_have_lines:
        allowed = "\n\t"
    for character in text:
        # control characters, lone surrogates, line and paragraph separators
        is_control = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        if is_control and character not in allowed:
            return f"must have no control characters, got U+{ord(character):04X}"
    return None
