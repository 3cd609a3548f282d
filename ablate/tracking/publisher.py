"""The publisher: follows the journal in a thread of its own and tells a projection (MLflow, Optuna)
each event in order, trying again while it is away.

Nothing that happens here can stop, slow down or fail a study, and what waits to be told waits in
the journal, not in memory. What could not be told is told by the next call.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from ablate.study.record import StudyRecord
from ablate.study.trial import Trial
from ablate.tracking.events import Event
from ablate.tracking.journal import Journal
from ablate.tracking.passwords import hide_passwords

_BEGIN, _STUDY = "begin", "study"
"""Keys that are no attempt's."""
PATIENCE_S = 30.0
"""How long `close` waits for a projection that does not answer. One that answers gets all the time
it needs."""
_LONGEST_PAUSE_S = 15.0
_TRIES = 3
"""Tries of one step while the projection itself answers: more will not help."""


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


class Projection(Protocol):
    """Something that is told what the journal says. Each call may raise, and is then made again."""

    def is_up(self) -> bool:
        """Whether it answers at all."""
        ...

    def begin(self) -> object:
        """Before anything is told; without it nothing is."""
        ...

    def tell(self, event: Event) -> object:
        """Project one event; events come in their order, and those of earlier calls come again."""
        ...

    def settle(self) -> object:
        """Once all is told that was in the journal at the beginning."""
        ...

    def finish(self, status: str) -> object:
        """At the end: FINISHED, FAILED or KILLED."""
        ...


@dataclass(frozen=True, slots=True)
class Unpublished:
    """What a projection was not told."""

    n_attempts: int
    """Different attempts of trials with at least one event missing."""
    why: str
    """The last error in one line; empty when nothing is missing."""


def attempt_key(trial_id: str, attempt: int) -> str:
    """Return the key of an attempt, which is also its name in files and folders:
    `<trial_id>-<attempt>`.
    """
    return f"{trial_id}-{attempt}"


class Publisher:
    """A thread that follows a journal on behalf of one projection.

    When the projection answers and a step still fails three times, the step and all that follow of
    its attempt are put aside, so that one broken file does not hold up the others.
    """

    def __init__(
        self, journal: Journal, projection: Projection, *, trial_ids: Container[str]
    ) -> None:
        """Start at the journal's beginning.

        Events of trials that are not in `trial_ids` are passed over: a grid that was edited told
        them then.
        """
        self._journal, self._projection, self._trial_ids = journal, projection, trial_ids
        self._position, self._past_end = 0, journal.size
        self._is_settled = False
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        """Not a threading.Event: a signal that interrupts its `set` can leave its lock held for
        ever, and the conductor would wait on it."""
        self._closing: tuple[str, float] | None = None
        """Once closing: the study's status, and seconds of patience."""
        self._last_success = time.monotonic()
        self._aside: dict[str, str] = {}
        self._why = ""
        self._is_whole = False
        self._thread = threading.Thread(target=self._serve, name="ablate-publisher", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that the journal has grown; returns at once."""
        self._wake.put(None)

    def close(self, status: str, *, patience_s: float = PATIENCE_S) -> Unpublished:
        """Wait until everything is told, or until a projection that does not answer has had its
        time; return what is missing.
        """
        self._last_success = time.monotonic()
        self._closing = (status, patience_s)
        self._wake.put(None)
        self._thread.join()
        if self._is_whole and not self._aside:
            return Unpublished(n_attempts=0, why="")
        untold = {
            attempt_key(event.trial_id, event.attempt)
            for event, _ in self._journal.follow(self._position)
            if event.trial_id in self._trial_ids
        }
        return Unpublished(
            n_attempts=len((untold | set(self._aside)) - {_BEGIN, _STUDY}), why=self._why
        )

    def _serve(self) -> None:
        if not self._do(_BEGIN, self._projection.begin):
            return
        while True:
            while not self._wake.empty():
                self._wake.get()
            # read before the journal: what was appended before `close` is told before `finish`
            closing = self._closing
            if not self._catch_up():
                return
            if closing is not None:
                self._is_whole = self._do(_STUDY, partial(self._projection.finish, closing[0]))
                return
            self._wake.get()

    def _catch_up(self) -> bool:
        """Tell everything up to the journal's end. False when the time is over."""
        for event, position in self._journal.follow(self._position):
            if position > self._past_end and not self._settle():
                return False
            if event.trial_id in self._trial_ids and not self._do(
                attempt_key(event.trial_id, event.attempt), partial(self._projection.tell, event)
            ):
                return False
            self._position = position
        return self._position < self._past_end or self._settle()

    def _settle(self) -> bool:
        if not self._is_settled:
            self._is_settled = self._do(_STUDY, self._projection.settle)
        return self._is_settled

    def _do(self, key: str, act: Callable[[], object]) -> bool:
        """Do one step, or put it aside. False when the time is over and the step stays undone."""
        tries = 0
        while not self._is_aside(key):
            try:
                act()
                self._last_success = time.monotonic()
                return True
            except Exception as error:
                self._why = hide_passwords(f"{type(error).__name__}: {error}".partition("\n")[0])
            tries += 1
            if tries >= _TRIES and self._answers():
                self._aside[key] = self._why
            elif self._is_over():
                return False
            else:
                self._pause(min(0.1 * 2**tries, _LONGEST_PAUSE_S))
        return True

    def _is_aside(self, key: str) -> bool:
        if _BEGIN in self._aside:
            self._aside.setdefault(key, self._why)
        return key in self._aside

    def _answers(self) -> bool:
        try:
            return self._projection.is_up()
        except Exception:
            return False

    def _is_over(self) -> bool:
        return (
            self._closing is not None and time.monotonic() - self._last_success > self._closing[1]
        )

    def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the end of a closing publisher's patience."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._is_over():
            time.sleep(min(left, 0.1))
