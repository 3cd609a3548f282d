"""The journal: every event of a study, one JSON line each, on disk before anybody else hears of it.

It is the truth; MLflow and Optuna follow it. Each line has a checksum, so damage is noticed and
never read: see `journal_lines`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import StoreError
from ablate.tracking import journal_lines
from ablate.tracking.events import (
    EpochEnded,
    Event,
    Failure,
    TrialEnded,
    TrialStarted,
    TrialState,
)
from ablate.tracking.journal_lines import AttemptKey, NewerLine, Reading
from ablate.tracking.journal_skim import skim_lines

# Bytes of the journal in memory at a time while it is followed.
_CHUNK = 1 << 18
DAMAGED = "JournalDamaged"
"""Kind of the failure of an attempt of which a line was lost."""
_LOG = logging.getLogger(__name__)


class Journal:
    """An append-only file of events. One process appends; any number may read at the same time."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is made, with its folder, by the first `append`."""
        self.path = path
        # Lines of each attempt; None until the file is known to end with a whole line.
        self._n_lines: dict[AttemptKey, int] | None = None

    def append(self, event: Event) -> None:
        """Add one event.

        It is in the kernel's hands when this returns, so that no death of a process can lose it,
        and an end is on disk, with all before it. A power cut can cost starts and epochs after the
        last end: trials that run again anyway. Raises StoreError when the event cannot be kept;
        then nothing of it stays in the file, or the next append takes it away.
        """
        try:
            n_lines = self._made_ready()
            key = (event.trial_id, event.attempt)
            place = n_lines.get(key, 0)
            line = journal_lines.encode(event, place=place)
            self._write(line, is_end=isinstance(event, TrialEnded))
            # Counted only once the line is in the file: a try again must get the same number.
            n_lines[key] = place + 1
        except OSError as error:
            self._n_lines = None  # what the file holds now is found out by the next append
            raise StoreError(
                f"the study's journal must be writable, {self.path} is not: {error}; "
                "free space or pass another folder."
            ) from error

    def read(self) -> list[Event]:
        """Every event so far, oldest first, less what is damaged: see `reading`.

        Raises StoreError for a file that cannot be read.
        """
        return self.reading().events

    def reading(self) -> Reading:
        """Every event so far, and what is damaged; a line torn by a crash at the end is left out.

        Raises StoreError where the file cannot be read, or a later version wrote it.
        """
        try:
            return journal_lines.read_lines(self._content())
        except NewerLine as newer:
            raise journal_lines.refuse(self.path, newer) from newer

    def skim(self) -> Reading:
        """As `reading`, where nothing is damaged without metrics and outcomes.

        In a tenth of the time and of the memory, a line at a time. Raises StoreError as `reading`.
        """
        try:
            with self.path.open("rb") as file:
                skimmed = skim_lines(file)
        except FileNotFoundError:
            return Reading([])
        except OSError as error:
            raise self._unreadable(error) from error
        except NewerLine:
            skimmed = None
        # The slow way judges what the quick one only noticed.
        # Also for the number of the line that a newer version wrote.
        return skimmed or self.reading()

    def mend(self) -> str:
        """Write the journal again without what is damaged in it.

        Returns, and logs, a sentence that says what that was; empty where nothing was. The damaged
        file is kept beside it. Attempts that lack an event are ended as KILLED. Only
        the study's owner may. Raises StoreError.
        """
        # The usual case, at a tenth of the price: nothing is damaged.
        if self.skim().is_whole:
            return ""
        # In full: the journal is written again from it, with metrics and outcomes.
        reading = self.reading()
        aside = self._aside()
        problem = f"{reading.sentence(self.path)}; the damaged file is kept as {aside.name}"
        try:
            self._write_again(_mended(reading, why=problem), aside=aside)
        except OSError as error:
            raise StoreError(
                f"{reading.sentence(self.path)}; it cannot be mended: {error}; free space, "
                "the same command goes on."
            ) from error
        self._n_lines = None
        _LOG.warning("%s", problem)
        return problem

    @property
    def size(self) -> int:
        """Bytes of its whole lines, 0 where there is no file yet.

        Raises StoreError where it cannot be read.
        """
        return self._content().rfind(b"\n") + 1

    def follow(self, position: int) -> Iterator[tuple[Event, int]]:
        """Yield each whole event from byte `position` to the end, with the position behind it.

        `position` is 0, or one that was yielded. A chunk is in memory at a time. What is damaged
        meanwhile is passed over: the next `mend` says so.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            # A place between two lines: only positions behind whole lines were ever yielded.
            file.seek(position)
            while lines := file.readlines(_CHUNK):
                for raw in lines:
                    if not raw.endswith(b"\n"):
                        return  # torn, or being written
                    position += len(raw)
                    with contextlib.suppress(NewerLine):
                        line = journal_lines.decode(raw)
                        if line is not None:
                            yield line.event, position

    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> StoreError:
        return StoreError(
            f"the study's journal must be a file that can be read, {self.path} is not: "
            f"{error}; move it away, or give it back."
        )

    def _made_ready(self) -> dict[AttemptKey, int]:
        """Let the next line start at its own beginning; return the lines of each attempt.

        Makes the file where there is none, mends what is damaged and cuts off a torn last line.
        """
        if self._n_lines is not None:
            return self._n_lines
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # First of all: the place of the next line is counted from those that are there.
        reading = self.skim()
        if not reading.is_whole:
            self.mend()
            reading = self.skim()
        with self.path.open("ab+") as file:
            file.seek(0)
            # A line torn by a crash was acknowledged to nobody.
            file.truncate(file.read().rfind(b"\n") + 1)
            os.fsync(file.fileno())
        _keep_name(self.path)
        self._n_lines = dict(reading.n_lines)
        return self._n_lines

    def _write(self, line: bytes, *, is_end: bool) -> None:
        """Add the line whole, or not at all. Raises OSError."""
        size = self.path.stat().st_size
        try:
            # Unbuffered: one write for a whole line, and no reader meets half of Python's buffer.
            with self.path.open("ab", buffering=0) as file:
                if file.write(line) != len(line):
                    raise OSError("only a part of the line could be written")
                # Only an end is worth the milliseconds: a trial without one runs again anyway.
                if is_end:
                    os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):  # then the next append cuts it off
                os.truncate(self.path, size)
            raise

    def _write_again(self, events: list[Event], *, aside: Path) -> None:
        """Put a journal of these events in the place of the file, which is kept `aside`.

        Whoever reads meanwhile sees one or the other.
        """
        half = self.path.with_name(f"{self.path.name}.part")
        n_lines: Counter[AttemptKey] = Counter()
        with half.open("wb") as file:
            for event in events:
                key = (event.trial_id, event.attempt)
                file.write(journal_lines.encode(event, place=n_lines[key]))
                n_lines[key] += 1
            # On disk before it is renamed: a power cut must not leave the name without content.
            file.flush()
            os.fsync(file.fileno())
        # A link, so that at no moment the journal has no file under its name.
        try:
            os.link(self.path, aside)
        except OSError:  # not every file system has links
            shutil.copyfile(self.path, aside)
        half.replace(self.path)
        _keep_name(self.path)

    def _aside(self) -> Path:
        """A name beside the journal that nothing has yet."""
        stem = f"{self.path.stem}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
        path = self.path.with_name(stem + self.path.suffix)
        number = 1
        while path.exists():  # two in one second
            number += 1
            path = self.path.with_name(f"{stem}-{number}{self.path.suffix}")
        return path


def _mended(reading: Reading, *, why: str) -> list[Event]:
    """The events of a damaged journal, and an end for each attempt that lacks one of its own."""
    begun = attempts(reading.events)
    # Of an attempt whose start is lost nothing is kept: its trial runs again under that number.
    startless = set(reading.broken) - begun.keys()
    events: list[Event] = []
    for event in reading.events:
        if (event.trial_id, event.attempt) not in startless:
            events.append(event)
    failure = Failure(DAMAGED, why, traceback="")
    for key in reading.broken:
        if key in begun:
            events.append(TrialEnded(*key, TrialState.KILLED, at=time.time(), failure=failure))
    return events


def _keep_name(path: Path) -> None:
    """Let a file's name survive a power cut as well: its folder is a file of its own."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@dataclass(slots=True)
class Attempt:
    """One try of one trial, as far as its events tell."""

    started: TrialStarted
    epochs: list[EpochEnded]
    ended: TrialEnded | None = None

    @property
    def is_running(self) -> bool:
        """Whether no end is known: it runs now, or its conductor died."""
        return self.ended is None

    @property
    def is_complete(self) -> bool:
        """Whether it left a score."""
        return self.ended is not None and self.ended.state is TrialState.COMPLETE

    @property
    def events(self) -> list[Event]:
        """Its events, oldest first."""
        events: list[Event] = [self.started, *self.epochs]
        if self.ended is not None:
            events.append(self.ended)
        return events


def attempts(events: Iterable[Event]) -> dict[tuple[str, int], Attempt]:
    """Fold events into (trial_id, attempt) -> Attempt, in order of the starts.

    The first end of an attempt counts; one that never started is left out.
    """
    by_key: dict[tuple[str, int], Attempt] = {}
    for event in events:
        key = (event.trial_id, event.attempt)
        if isinstance(event, TrialStarted):
            by_key[key] = Attempt(started=event, epochs=[])
        elif key not in by_key:
            continue  # its start was lost with a damaged line
        elif isinstance(event, EpochEnded):
            by_key[key].epochs.append(event)
        elif by_key[key].ended is None:
            by_key[key].ended = event
    return by_key
