"""The publisher: does what a tracking store is to be told in a thread of its own, in order, trying again while the store is away.

Nothing that happens here can stop, slow down or fail a study. What could not be told stays in the journal, and the next call tells it again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ablate.spec.study import StudyRecord
from ablate.spec.trial import Trial
from ablate.tracking.events import Event

BEGIN, STUDY = "begin", "study"
"""Keys that are no attempt's."""
PATIENCE_S = 30.0
"""How long `close` waits for a store that does not answer. A store that answers gets all the time it needs."""
_LONGEST_PAUSE_S = 15.0
_TRIES = 3
"""Tries of one step while the store itself answers: more will not help."""


class Store(Protocol):
    """What a conductor tells a tracking store. Each call may fail, and may come again."""

    def check_reachable(self) -> None:
        """Return when the store answers; raise StoreError within seconds when it does not."""
        ...

    def start_study(self, record: StudyRecord, tags: Mapping[str, str]) -> str:
        """Make or find the study's run; return its id."""
        ...

    def publish(self, event: Event, *, trial: Trial, folder: Path) -> None:
        """Project one event of `trial`, whose attempt left its files in `folder`."""
        ...

    def close_stale(self) -> int:
        """Close what a dead conductor left open and nobody knows of; return how many."""
        ...

    def finish_study(self, status: str = "FINISHED") -> None:
        """Close the study's run: FINISHED, FAILED or KILLED."""
        ...


@dataclass(frozen=True, slots=True)
class Unpublished:
    """What the store was not told."""

    n_attempts: int
    """Different attempts of trials with at least one step missing."""
    why: str
    """The last error in one line; empty when nothing is missing."""


@dataclass(frozen=True, slots=True)
class _Step:
    key: str
    act: Callable[[], object]


def attempt_key(trial_id: str, attempt: int) -> str:
    """Return the key of an attempt's steps, which is also its name in files and folders: `<trial_id>-<attempt>`."""
    return f"{trial_id}-{attempt}"


class Publisher:
    """A queue of steps and the thread that does them.

    A step belongs to a key (an attempt). When the store answers and a step still fails three times, the step and all that follow of its key are put
    aside, so that one broken file does not hold up the others. `begin` runs before everything; without it nothing else is tried.
    """

    def __init__(self, begin: Callable[[], object], *, is_up: Callable[[], bool]) -> None:
        """Start the thread with `begin`. `is_up` says whether the store answers at all."""
        self._is_up = is_up
        self._steps: deque[_Step] = deque([_Step(BEGIN, begin)])
        self._wake = threading.Event()
        self._closing: float | None = None
        """Once closing: seconds of patience."""
        self._last_success = time.monotonic()
        self._aside: dict[str, str] = {}
        self._why = ""
        self._thread = threading.Thread(target=self._serve, name="ablate-publisher", daemon=True)
        self._thread.start()

    def send(self, key: str, act: Callable[[], object]) -> None:
        """Queue a step and return at once. The key is `attempt_key(...)`, or STUDY for a step of the study as a whole."""
        self._steps.append(_Step(key, act))
        self._wake.set()

    def close(self, *, patience_s: float = PATIENCE_S) -> Unpublished:
        """Wait until everything is told, or until a store that does not answer has had its time; return what is missing."""
        self._last_success = time.monotonic()
        self._closing = patience_s
        self._wake.set()
        self._thread.join()
        missing = {step.key for step in self._steps} | set(self._aside)
        return Unpublished(n_attempts=len(missing - {BEGIN, STUDY}), why=self._why if missing else "")

    def _serve(self) -> None:
        while True:
            self._wake.clear()
            while self._steps:
                if not self._do(self._steps[0]):
                    return
                self._steps.popleft()
            if self._closing is not None:
                return
            self._wake.wait()

    def _do(self, step: _Step) -> bool:
        """Do one step, or put it aside. False when the time is over and the step stays undone."""
        tries = 0
        while not self._is_aside(step.key):
            try:
                step.act()
                self._last_success = time.monotonic()
                return True
            except Exception as error:
                self._why = f"{type(error).__name__}: {error}".partition("\n")[0]
            tries += 1
            if tries >= _TRIES and self._answers():
                self._aside[step.key] = self._why
            elif self._is_over():
                return False
            else:
                self._pause(min(0.1 * 2**tries, _LONGEST_PAUSE_S))
        return True

    def _is_aside(self, key: str) -> bool:
        if BEGIN in self._aside:
            self._aside.setdefault(key, self._why)
        return key in self._aside

    def _answers(self) -> bool:
        try:
            return self._is_up()
        except Exception:
            return False

    def _is_over(self) -> bool:
        return self._closing is not None and time.monotonic() - self._last_success > self._closing

    def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the end of a closing publisher's patience."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._is_over():
            time.sleep(min(left, 0.1))
