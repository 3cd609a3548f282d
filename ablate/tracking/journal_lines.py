"""One line of a journal, and what can be made of a file of them when some are damaged.

    {"event":"epoch_ended", ..., "n":3, "v":2, "crc":"9f0c2b1a"}

`n` counts the lines of one attempt, so that a line that is lost, repeated or moved is noticed; `v`
is the schema version; `crc` is a checksum of all before it. Version 1 had none of the three.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from ablate.checksum import is_sealed, sealed, unsealed
from ablate.errors import some
from ablate.schema_version import SCHEMA_VERSION, NewerSchema, newer_schema
from ablate.tracking.events import Event, TrialEnded, TrialStarted, from_json, to_json

# What an editor or a power cut leaves around a line; no byte of an event is among them.
_PADDING = b"\0 \t\r"
_BOM = b"\xef\xbb\xbf"
# Splits merged lines before each event: the pattern takes no byte away.
_BEGINNING = re.compile(rb'(?=\{"event":)')
_SEALED = re.compile(rb'.*,"crc":"[0-9a-f]{8}"\}', re.DOTALL)
# Lines or attempts that a sentence about damage lists.
_MOST_NAMED = 5

AttemptKey = tuple[str, int]
"""(trial_id, attempt)."""


class NewerLine(Exception):
    """A line that is whole and that only a later version of ablate understands."""

    def __init__(self, version: object, *, number: int | None = None) -> None:
        """`version` is what the line says of its form, None where it says nothing."""
        super().__init__(version, number)
        self.version = version
        self.number = number
        """Number of the line in its file, from 1; None for a line without a file."""


@dataclass(frozen=True, slots=True)
class Line:
    """One event with its place among those of its attempt; None in lines of version 1."""

    event: Event
    place: int | None

    @property
    def key(self) -> AttemptKey:
        """Whose event it is."""
        return self.event.trial_id, self.event.attempt


@dataclass(frozen=True, slots=True)
class Reading:
    """What a journal says, less what is damaged in it."""

    events: list[Event]
    """In the order of the file; of each attempt, in the order in which they were written."""
    n_lines: Mapping[AttemptKey, int] = field(default_factory=dict)
    """Lines that each attempt had: the place of its next one."""
    damaged: tuple[int, ...] = ()
    """Numbers of lines that cannot be read; what they said is lost."""
    repaired: tuple[int, ...] = ()
    """Numbers of lines with something beside their event, which is whole."""
    repeated: tuple[int, ...] = ()
    """Numbers of lines that say again what another one says."""
    moved: tuple[int, ...] = ()
    """Numbers of lines that do not stand where they were written."""
    broken: tuple[AttemptKey, ...] = ()
    """Attempts that lack an event. Their ends are left out, so they count as not completed."""

    @property
    def is_whole(self) -> bool:
        """Whether the file is as it was written."""
        is_damaged = self.damaged or self.repaired or self.repeated or self.moved or self.broken
        return not is_damaged

    def sentence(self, path: Path) -> str:
        """What is damaged in the journal at `path`, and what that costs; empty where nothing is."""
        parts = [
            *_of_lines(self.damaged, "cannot be read and {is_are} left out"),
            *_of_lines(self.repaired, "{is_are} damaged, the event in {it_them} is not"),
            *_of_lines(self.repeated, "only repeat{s} another one"),
            *_of_lines(self.moved, "{is_are} not where {it_they} {was_were} written"),
            *_of_attempts(self.broken),
        ]
        if not parts:
            return ""
        cost = "; no result is lost"
        if self.damaged or self.broken:
            cost = ""
        return f"the journal {path} is damaged: {'; '.join(parts)}{cost}"


def encode(event: Event, *, place: int) -> bytes:
    """The line of an event that is the `place`-th of its attempt, counted from 0."""
    values = {**to_json(event), "n": place, "v": SCHEMA_VERSION}
    return sealed(json.dumps(values, separators=(",", ":"))).encode() + b"\n"


def decode(raw: bytes) -> Line | None:
    """Return the event of a line, with or without its newline; None where it cannot be trusted.

    Raises NewerLine where the line is whole and this version cannot understand it.
    """
    text = raw.strip(_PADDING + b"\n").removeprefix(_BOM)
    body = unsealed(text)
    if body is not None:
        return _sealed_line(body)
    # A checksum that is wrong; without any, it is a line of version 1.
    if is_sealed(text):
        return None
    return _plain_line(text)


def read_lines(content: bytes) -> Reading:
    """Read a journal's bytes. A torn line at the end was never acknowledged and is left out.

    Raises NewerLine.
    """
    return _Reader().read(content)


def is_torn(tail: bytes) -> bool:
    """Whether what stands behind the last newline was never written to its end.

    A damaged newline makes the last line look torn, but nothing stands behind a torn end.
    """
    match = _SEALED.match(tail)
    # A whole line that lacks its newline alone is one that is being written.
    return match is None or match[0] == tail


def refuse(path: Path, newer: NewerLine) -> NewerSchema:
    """The error for a journal of a later version."""
    return newer_schema(newer.version, place=f"line {newer.number} of the journal {path}")


def _sealed_line(body: bytes) -> Line:
    """Its checksum is right, so whatever is strange in it is not damage."""
    # Known only once `v` was read: an error before that is a newer line of unknown version.
    version = None
    try:
        values = json.loads(body.decode())
        version = values.pop("v")
        place = values.pop("n")
        if version != SCHEMA_VERSION or type(place) is not int:
            raise NewerLine(version)
        return Line(from_json(values), place)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NewerLine(version) from error


def _plain_line(text: bytes) -> Line | None:
    """A line of version 1."""
    try:
        return Line(from_json(json.loads(text.decode())), place=None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


class _Reader:
    """Goes once through the lines of a file, then judges each attempt by its own lines."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, Line]] = []
        self._damaged: list[int] = []
        self._repaired: list[int] = []
        self._repeated: list[int] = []
        self._has_checksums = False

    def read(self, content: bytes) -> Reading:
        # What stands behind the last newline is judged apart: it may be torn.
        *whole, tail = content.split(b"\n")
        for number, raw in enumerate(whole, start=1):
            try:
                self._take(number, raw)
            except NewerLine as newer:
                raise NewerLine(newer.version, number=number) from newer
        self._take_tail(len(whole) + 1, tail)
        return self._reading()

    def _take(self, number: int, raw: bytes) -> None:
        line = decode(raw)
        # A line without a checksum among lines that have one is damage: the program stopped writing
        # them with version 1.
        if line is not None and (line.place is not None or not self._has_checksums):
            self._keep(number, line)
            if b"\0" in raw:
                self._damaged.append(number)  # what the zeros stand for is lost
        elif raw.strip(_PADDING):
            self._take_pieces(number, raw)
        elif b"\0" in raw:
            self._damaged.append(number)

    def _take_pieces(self, number: int, raw: bytes) -> None:
        """Whole events in a damaged line: a newline that is lost merges two."""
        kept = list(_whole_pieces(raw))
        n_begun = raw.count(b'{"event":')
        for line in kept:
            self._keep(number, line)
        # Fewer whole events than beginnings: one of them was lost.
        is_all_there = kept and len(kept) >= n_begun
        if is_all_there:
            self._repaired.append(number)
        else:
            self._damaged.append(number)

    def _take_tail(self, number: int, tail: bytes) -> None:
        if is_torn(tail):
            return
        kept = list(_whole_pieces(tail))
        for line in kept:
            self._keep(number, line)
        if kept:
            self._repaired.append(number)

    def _keep(self, number: int, line: Line) -> None:
        self._has_checksums = self._has_checksums or line.place is not None
        self._lines.append((number, line))

    def _reading(self) -> Reading:
        of_attempt: dict[AttemptKey, _Lines] = {}
        for number, line in self._lines:
            of_attempt.setdefault(line.key, _Lines()).add(number, line)
        n_lines: dict[AttemptKey, int] = {}
        repeated: list[int] = []
        moved: list[int] = []
        broken: list[AttemptKey] = []
        for key, lines in of_attempt.items():
            n_lines[key] = lines.n_lines
            repeated += lines.repeated
            moved += lines.moved
            if lines.is_broken(self._damaged):
                broken.append(key)
        return Reading(
            events=self._events(of_attempt, set(broken)),
            n_lines=n_lines,
            damaged=tuple(self._damaged),
            repaired=tuple(self._repaired),
            repeated=tuple(sorted(repeated)),
            moved=tuple(sorted(moved)),
            broken=tuple(broken),
        )

    def _events(
        self, of_attempt: Mapping[AttemptKey, _Lines], broken: Set[AttemptKey]
    ) -> list[Event]:
        """Each attempt's events in their order, at the places in the file that its lines have."""
        # One iterator per attempt: each of its lines in the file takes the next event in order,
        # which puts moved lines right without disturbing those of other attempts.
        ordered: dict[AttemptKey, Iterator[Event]] = {}
        for key, lines in of_attempt.items():
            ordered[key] = iter(lines.in_order())
        events = []
        for _, line in self._lines:
            event = next(ordered[line.key], None)  # fewer than its lines, where some are repeated
            if event is None:
                continue
            # Without its end the attempt counts as one that runs, and its owner ends it as KILLED.
            if line.key in broken and _is_end(event):
                continue
            events.append(event)
        return events


class _Lines:
    """The lines of one attempt, by their places."""

    def __init__(self) -> None:
        # Place -> number in the file and event.
        self._at: dict[int, tuple[int, Event]] = {}
        # Whether it has lines of version 1, which are not counted.
        self._has_plain = False
        # Whether two different lines claim one place: nobody can say which is right.
        self._is_contradicted = False
        self.repeated: list[int] = []
        self.moved: list[int] = []

    def add(self, number: int, line: Line) -> None:
        """Take a line of the file, in the order of the file."""
        place = self._place(line)
        if place in self._at:
            self.repeated.append(number)
            self._is_contradicted = self._is_contradicted or self._at[place][1] != line.event
            return
        # It was written before a line that stands above it.
        if place < self.n_lines:
            self.moved.append(number)
        self._at[place] = number, line.event

    def _place(self, line: Line) -> int:
        if line.place is not None:
            return line.place
        # A line of version 1 has no place: it is the next one, or repeats one that is equal.
        self._has_plain = True
        for place, (_, event) in self._at.items():
            if event == line.event:
                return place
        return self.n_lines

    @property
    def n_lines(self) -> int:
        """Lines that there were, lost ones before the last among them."""
        return max(self._at, default=-1) + 1

    def in_order(self) -> list[Event]:
        """The events in the order in which they were written."""
        events = []
        for place in sorted(self._at):
            _, event = self._at[place]
            events.append(event)
        return events

    def is_broken(self, damaged: Sequence[int]) -> bool:
        """Whether an event of it is lost, or may be."""
        numbers = [number for number, _ in self._at.values()]
        first = min(numbers)
        last = max(numbers)
        events = self.in_order()
        # A place below the last one that no line has: the line was lost.
        is_short = len(self._at) < self.n_lines
        # What is damaged behind its last line may have been its next one.
        has_end = any(map(_is_end, events))
        is_cut = not has_end and max(damaged, default=0) > last
        # Lines of version 1 are not counted, so what is damaged among them may be one of them.
        is_between = any(first < number < last for number in damaged)
        has_no_start = bool(damaged) and not isinstance(events[0], TrialStarted)
        may_lack = self._has_plain and (has_no_start or is_between)
        return self._is_contradicted or is_short or is_cut or may_lack


def _whole_pieces(raw: bytes) -> Iterator[Line]:
    """The events with a right checksum in a damaged line."""
    for piece in _BEGINNING.split(raw):
        match = _SEALED.match(piece)
        if match is None:
            continue
        line = decode(match[0])
        if line is not None:
            yield line


def _is_end(event: Event) -> bool:
    return isinstance(event, TrialEnded)


def _of_lines(numbers: Sequence[int], what: str) -> list[str]:
    if not numbers:
        return []
    if len(numbers) == 1:
        words = {"is_are": "is", "it_them": "it", "it_they": "it", "was_were": "was", "s": "s"}
        return [f"line {numbers[0]} {what.format(**words)}"]
    words = {"is_are": "are", "it_them": "them", "it_they": "they", "was_were": "were", "s": ""}
    named = some(list(map(str, numbers)), most=_MOST_NAMED)
    return [f"lines {named} {what.format(**words)}"]


def _of_attempts(keys: Sequence[AttemptKey]) -> list[str]:
    if not keys:
        return []
    named = some([f"{trial_id}-{attempt}" for trial_id, attempt in keys], most=_MOST_NAMED)
    if len(keys) == 1:
        return [f"attempt {named} counts as not completed"]
    return [f"attempts {named} count as not completed"]
