"""The journal: every event of a study, one JSON line each, on disk before anybody else hears of it. It is the truth; MLflow and Optuna are projections."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import StoreError
from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialStarted, TrialState, from_json, to_json

_CHUNK = 1 << 18
"""Bytes of the journal in memory at a time while it is followed."""


class Journal:
    """An append-only file of events. One process appends; any number may read at the same time."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is made, with its folder, by the first `append`."""
        self.path = path
        self._is_clean = False

    def append(self, event: Event) -> None:
        """Add one event. It is in the kernel's hands when this returns, so that no death of a process can lose it, and an end is on disk, with all before it.

        A power cut can cost starts and epochs after the last end: trials that run again anyway. Raises StoreError when the event cannot be kept; then
        nothing of it stays in the file.
        """
        line = json.dumps(to_json(event), separators=(",", ":")).encode() + b"\n"
        try:
            self._make_clean()
            size = self.path.stat().st_size
            with self.path.open("ab", buffering=0) as file:
                if file.write(line) != len(line):
                    os.truncate(self.path, size)
                    raise OSError("only a part of the line could be written")
                if isinstance(event, TrialEnded):
                    os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"the study's journal must be writable, {self.path} is not: {error}; free space or pass another folder.") from error

    def read(self) -> list[Event]:
        """Every event so far, oldest first; a line torn by a crash at the end is left out. Raises StoreError for any other line that cannot be read."""
        if not self.path.exists():
            return []
        lines = self.path.read_bytes().split(b"\n")[:-1]  # what follows the last newline was never acknowledged
        return [self._parse(line, number=number) for number, line in enumerate(lines, start=1)]

    @property
    def size(self) -> int:
        """Bytes of its whole lines, 0 where there is no file yet."""
        return self.path.read_bytes().rfind(b"\n") + 1 if self.path.exists() else 0

    def follow(self, position: int) -> Iterator[tuple[Event, int]]:
        """Yield each whole event from byte `position` (0, or one that was yielded) to the end, with the position behind it; a chunk in memory at a time."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(position)
            while lines := file.readlines(_CHUNK):
                for line in lines:
                    if not line.endswith(b"\n"):
                        return  # torn, or being written
                    position += len(line)
                    yield self._parse(line, number=0), position

    def _parse(self, line: bytes, *, number: int) -> Event:
        try:
            return from_json(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"each line of {self.path} must be an event of this version of ablate, {f'line {number}' if number else 'one'} is not "
                f"({type(error).__name__}: {error}); "
                f"move the file away to start the study anew."
            ) from error

    def _make_clean(self) -> None:
        """Make the file where there is none, and cut off a torn last line, so that the next line starts at its own beginning."""
        if self._is_clean:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            os.fsync(file.fileno())
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the file's name must survive a power cut as well
        finally:
            os.close(folder)
        self._is_clean = True


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
        return [self.started, *self.epochs, *([self.ended] if self.ended else [])]


def attempts(events: Iterable[Event]) -> dict[tuple[str, int], Attempt]:
    """Fold events into (trial_id, attempt) -> Attempt, in order of the starts. The first end of an attempt counts; one that never started is left out."""
    found: dict[tuple[str, int], Attempt] = {}
    for event in events:
        key = (event.trial_id, event.attempt)
        if isinstance(event, TrialStarted):
            found[key] = Attempt(started=event, epochs=[])
        elif key not in found:
            continue
        elif isinstance(event, EpochEnded):
            found[key].epochs.append(event)
        elif found[key].ended is None:
            found[key].ended = event
    return found
