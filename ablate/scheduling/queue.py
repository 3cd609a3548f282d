"""Which trial is run next, and when enough is enough."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from ablate.errors import CheckFailed
from ablate.scheduling.limits import RETRIED, Limits
from ablate.scheduling.work_units import UnitOf, WorkUnits, alone
from ablate.study.trial import Trial, trials_by_id
from ablate.tracking.events import EpochEnded, TrialEnded, TrialStarted, TrialState
from ablate.tracking.journal import Attempt


class TrialQueue(Protocol):
    """What a conductor asks for work.

    `Queue` for designs that are known in advance, `SearchQueue` for one that learns.
    """

    @property
    def n_reused(self) -> int:
        """Trials that earlier calls brought to their end."""
        ...

    @property
    def n_left(self) -> int:
        """Trials that this call does not start, or has not started yet."""
        ...

    def take(self) -> tuple[Trial, int] | None:
        """The next trial and the number of its attempt.

        None where nothing is left, or nothing may start now.
        """
        ...

    def started(self, event: TrialStarted) -> None:
        """A trial began."""
        ...

    def is_hopeless(self, event: EpochEnded) -> bool:
        """Whether a trial is to end after this epoch, as PRUNED."""
        ...

    def ended(self, event: TrialEnded, trial: Trial) -> bool:
        """A trial ended; return whether it gets another attempt in this call."""
        ...


class Queue:
    """The trials that are not complete, in the order of `WorkUnits`.

    Seed by seed, so that a study that is cut short is balanced.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        past: Mapping[tuple[str, int], Attempt],
        *,
        limits: Limits,
        unit_of: UnitOf = alone,
    ) -> None:
        """`past` is what earlier calls did; `unit_of` names what trials share."""
        self._limits = limits
        # Not time.time: the clock of a machine can be set while a study runs.
        self._start = time.monotonic()
        self._n_attempts: dict[str, int] = {}
        failed: set[str] = set()
        for trial_id, (number, attempt) in _last_attempts(past).items():
            self._n_attempts[trial_id] = number
            if _has_failed(attempt):
                failed.add(trial_id)

        # A trial is done where any attempt completed, also one before a failed repetition.
        done = {trial_id for (trial_id, _), attempt in past.items() if attempt.is_complete}
        left = [trial for trial in trials if trial.trial_id not in done]
        # Counted before the limits: they leave trials for later, and reuse none.
        self.n_reused = len(trials) - len(left)
        if limits.only_failed:
            left = [trial for trial in left if trial.trial_id in failed]
        # Cut before they are sorted into units: a limit means the first trials of the grid.
        self._left = WorkUnits(left[: limits.max_trials], unit_of)
        self._n_held_back = len(trials) - self.n_reused - len(self._left)
        self._n_retries: Counter[str] = Counter()
        # Seconds of each trial that completed, in this call and before.
        self._durations = _durations(past)
        self._started: dict[str, float] = {}

    def take(self) -> tuple[Trial, int] | None:
        """See `TrialQueue`."""
        if self._is_spent():
            return None
        trial = self._left.take()
        if trial is None:
            return None
        # Attempts are counted through all calls, so that no folder and no run is used twice.
        attempt = self._n_attempts.get(trial.trial_id, 0) + 1
        self._n_attempts[trial.trial_id] = attempt
        return trial, attempt

    def started(self, event: TrialStarted) -> None:
        """Note when a trial began."""
        self._started[event.trial_id] = event.at

    def ended(self, event: TrialEnded, trial: Trial) -> bool:
        """Note a trial's end; return whether it gets another attempt in this call."""
        is_complete = event.state is TrialState.COMPLETE
        self._left.ended(trial, is_complete=is_complete)
        # By the events' own times: an event can wait in a pipe.
        began = self._started.pop(event.trial_id, None)
        if is_complete and began is not None:
            self._durations.append(event.at - began)
        if not _may_be_retried(event) or self._n_retries[event.trial_id] >= self._limits.retries:
            return False
        # Behind all others: what killed the worker, a full memory say, may be over by then.
        self._n_retries[event.trial_id] += 1
        self._left.again(trial)
        return True

    def is_hopeless(self, event: EpochEnded) -> bool:  # noqa: ARG002
        """Never.

        What a trial that is ended early would have reached is unknown, and effects estimated
        without it would be too good.
        """
        return False

    @property
    def n_left(self) -> int:
        """Trials that this call does not start, or has not started yet."""
        return len(self._left) + self._n_held_back

    def _is_spent(self) -> bool:
        """Whether another trial would, by the median, end after the budget."""
        if self._limits.budget_s is None:
            return False
        # Nothing is known of the first trial: it starts, or a small budget would start nothing.
        expected_s = statistics.median(self._durations) if self._durations else 0.0
        return time.monotonic() - self._start + expected_s > self._limits.budget_s


def distinct(trials: Sequence[Trial]) -> dict[str, Trial]:
    """trial_id -> trial. Raises CheckFailed where two are the same."""
    by_id = trials_by_id(trials)
    if len(by_id) != len(trials):
        raise CheckFailed(
            f"the trials of a study must differ, got {len(trials)} of which {len(by_id)} differ."
        )
    return by_id


def _last_attempts(past: Mapping[tuple[str, int], Attempt]) -> dict[str, tuple[int, Attempt]]:
    """trial_id -> number and record of its last attempt."""
    last: dict[str, tuple[int, Attempt]] = {}
    for (trial_id, number), attempt in past.items():
        if trial_id not in last or number > last[trial_id][0]:
            last[trial_id] = (number, attempt)
    return last


def _has_failed(attempt: Attempt) -> bool:
    return attempt.ended is not None and attempt.ended.state is TrialState.FAILED


def _may_be_retried(event: TrialEnded) -> bool:
    if event.state is not TrialState.FAILED or event.failure is None:
        return False
    return event.failure.kind in RETRIED


def _durations(past: Mapping[tuple[str, int], Attempt]) -> list[float]:
    seconds = []
    for attempt in past.values():
        if attempt.ended is not None and attempt.is_complete:
            seconds.append(attempt.ended.at - attempt.started.at)
    return seconds
