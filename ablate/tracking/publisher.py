"""The publisher tells a follower of the journal (MLflow, Optuna) each event, in order.

It reads the journal in a thread of its own and tries again while the follower is away. Nothing that
happens here can stop, slow down or fail a study. What waits to be told waits in the journal, not in
memory, and what could not be told is told by the next call.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from ablate.study.record import StudyRecord
from ablate.study.trial import Trial
from ablate.tracking.events import Event
from ablate.tracking.journal import Journal
from ablate.tracking.passwords import hide_passwords

# Keys that are no attempt's.
_BEGIN = "begin"
_STUDY = "study"
PATIENCE_S = 30.0
"""How long `close` waits for a follower that does not answer.

One that answers gets all the time it needs.
"""
# Between tries, doubled each time: a server that comes back is noticed within a quarter of a
# minute.
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 15.0
# How late a pause notices that the publisher is being closed.
_POLL_S = 0.1
# Of silence before a follower writes what it gathers: attempts that are over sooner are written
# in one go.
_REST_AFTER_S = 0.5
# Where it is never silent: whoever looks sees a long trial's curve this late at most.
_REST_EVERY_S = 5.0
# Tries of one step while the follower itself answers: more will not help.
_TRIES = 3


class Store(Protocol):
    """What a conductor tells a tracking store. Each call may fail, and may come again."""

    def check_reachable(self) -> None:
        """Return when the store answers; raise StoreError within seconds when it does not."""
        ...

    def start_study(self, record: StudyRecord, tags: Mapping[str, str]) -> str:
        """Make or find the study's run; return its id."""
        ...

    def publish(
        self, event: Event, *, trial: Trial, folder: Path, tags: Mapping[str, str] | None = None
    ) -> None:
        """Keep one event of `trial`, whose attempt left its files in `folder`.

        `tags` go on the attempt's run in the place of the study's: an earlier call made it.
        """
        ...

    def rest(self) -> None:
        """Write what `publish` holds back: it may gather what it is told into fewer writes."""
        ...

    def close_stale(self) -> int:
        """Close what a dead conductor left open and nobody knows of; return how many."""
        ...

    def finish_study(self, status: str = "FINISHED") -> None:
        """Close the study's run: FINISHED, FAILED or KILLED."""
        ...


class Follower(Protocol):
    """Something that is told what the journal says.

    Each call may raise, and is then made again.
    """

    def is_up(self) -> bool:
        """Whether it answers at all."""
        ...

    def begin(self) -> object:
        """Before anything is told; without it nothing is."""
        ...

    def tell(self, event: Event) -> object:
        """Keep one event; events come in their order, and those of earlier calls come again."""
        ...

    def rest(self) -> object:
        """When nothing was to be told for a moment; what was told may be gathered until then."""
        ...

    def settle(self) -> object:
        """Once all is told that was in the journal at the beginning."""
        ...

    def finish(self, status: str) -> object:
        """At the end: FINISHED, FAILED or KILLED."""
        ...


@dataclass(frozen=True, slots=True)
class Unpublished:
    """What a follower was not told."""

    n_attempts: int
    """Different attempts of trials with at least one event missing."""
    why: str
    """The last error in one line; empty when nothing is missing."""


@dataclass(frozen=True, slots=True)
class _Closing:
    """What the caller of `close` asked for."""

    status: str
    patience_s: float


def attempt_key(trial_id: str, attempt: int) -> str:
    """Return `<trial_id>-<attempt>`: an attempt's key, and its name in files and folders."""
    return f"{trial_id}-{attempt}"


class Publisher:
    """A thread that reads a journal on behalf of one follower.

    When the follower answers and a step still fails three times, the step and all that follow of
    its attempt are put aside, so that one broken file does not hold up the others.
    """

    def __init__(self, journal: Journal, follower: Follower, *, trial_ids: Container[str]) -> None:
        """Start at the journal's beginning.

        Events of trials that are not in `trial_ids` are passed over: they are of a grid that was
        edited since, and were told then.
        """
        self._journal = journal
        self._follower = follower
        self._trial_ids = trial_ids
        self._position = 0
        # Byte of the journal where this call's events begin.
        self._past_end = journal.size
        self._is_settled = False
        # Not a threading.Event: a signal that interrupts its `set` can leave its lock held for
        # ever, and the conductor would wait on it.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._closing: _Closing | None = None
        self._last_success = time.monotonic()
        self._rested = time.monotonic()
        # Key of what was put aside -> why.
        self._aside: dict[str, str] = {}
        self._why = ""
        self._is_whole = False
        self._thread = threading.Thread(target=self._serve, name="ablate-publisher", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that the journal has grown; returns at once."""
        self._wake.put(None)

    def close(self, status: str, *, patience_s: float = PATIENCE_S) -> Unpublished:
        """Wait until everything is told, and return what is missing.

        A follower that does not answer has `patience_s` to come back.
        """
        self._last_success = time.monotonic()
        self._closing = _Closing(status, patience_s)
        self._wake.put(None)
        self._thread.join()
        # Counted from the journal: what was never tried is missing too.
        if self._is_whole and not self._aside:
            return Unpublished(n_attempts=0, why="")
        # The two are no attempts; what they kept from being told is.
        missing = set(self._aside) - {_BEGIN, _STUDY}
        for event, _ in self._journal.follow(self._position):
            if event.trial_id in self._trial_ids:
                missing.add(attempt_key(event.trial_id, event.attempt))
        return Unpublished(n_attempts=len(missing), why=self._why)

    def _serve(self) -> None:
        if not self._do(_BEGIN, self._follower.begin):
            return
        while True:
            # One reading of the journal answers all calls of `wake` before it.
            while not self._wake.empty():
                self._wake.get()
            # Read before the journal: what was appended before `close` is told before `finish`.
            closing = self._closing
            if not self._catch_up():
                return
            if closing is not None:
                finish = partial(self._follower.finish, closing.status)
                self._is_whole = self._do(_STUDY, finish)
                return
            self._wait()

    def _wait(self) -> None:
        """Return when the journal has grown. A follower that gathers writes before a long wait."""
        if time.monotonic() - self._rested > _REST_EVERY_S:
            self._rest()
        try:
            self._wake.get(timeout=_REST_AFTER_S)
        except queue.Empty:
            self._rest()
            self._wake.get()

    def _rest(self) -> None:
        # What fails here fails again, and is heard, with the next event of its attempt.
        with suppress(Exception):
            self._follower.rest()
        self._rested = time.monotonic()

    def _catch_up(self) -> bool:
        """Tell everything up to the journal's end. False when the time is over."""
        for event, position in self._journal.follow(self._position):
            # The first event of this call: all that was there before has been told, so runs of
            # which nothing was said are stale.
            if position > self._past_end and not self._settle():
                return False
            if event.trial_id in self._trial_ids and not self._tell(event):
                return False
            self._position = position
        # A call without events of its own settles too, once the past is told.
        return self._position < self._past_end or self._settle()

    def _tell(self, event: Event) -> bool:
        key = attempt_key(event.trial_id, event.attempt)
        return self._do(key, partial(self._follower.tell, event))

    def _settle(self) -> bool:
        if not self._is_settled:
            self._is_settled = self._do(_STUDY, self._follower.settle)
        return self._is_settled

    def _do(self, key: str, act: Callable[[], object]) -> bool:
        """Do one step, or put it aside. False when the time is over and the step stays undone."""
        n_tries = 0
        while not self._is_aside(key):
            try:
                act()
                self._last_success = time.monotonic()
                return True
            except Exception as error:
                first_line = f"{type(error).__name__}: {error}".partition("\n")[0]
                self._why = hide_passwords(first_line)
            n_tries += 1
            # The follower is well, so it is this step that fails: more tries would only hold up the
            # others. A follower that is away is waited for instead.
            if n_tries >= _TRIES and self._answers():
                self._aside[key] = self._why
            elif self._is_over():
                return False
            else:
                self._pause(min(_FIRST_PAUSE_S * 2 ** (n_tries - 1), _LONGEST_PAUSE_S))
        return True

    def _is_aside(self, key: str) -> bool:
        # Without its beginning a follower has no place for anything else.
        if _BEGIN in self._aside:
            self._aside.setdefault(key, self._why)
        return key in self._aside

    def _answers(self) -> bool:
        try:
            return self._follower.is_up()
        except Exception:
            return False

    def _is_over(self) -> bool:
        if self._closing is None:
            return False
        return time.monotonic() - self._last_success > self._closing.patience_s

    def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the end of a closing publisher's patience."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._is_over():
            time.sleep(min(left, _POLL_S))
