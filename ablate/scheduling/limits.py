"""What is run next, and when enough is enough: retries, budget, `--max-trials`, `--only-failed`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ablate.errors import CheckFailed
from ablate.scheduling.executors._base import TRIAL_TIMEOUT, WORKER_DIED, WORKER_SILENT
from ablate.scheduling.work_units import UnitOf, WorkUnits, alone
from ablate.study.trial import Trial
from ablate.tracking.events import EpochEnded, TrialEnded, TrialStarted, TrialState
from ablate.tracking.journal import Attempt

RETRIED = frozenset({WORKER_DIED, WORKER_SILENT, TRIAL_TIMEOUT})
"""Kinds of failure that another attempt may not meet. A trial's own error comes again: the same
seed makes the same mistake."""


class TrialQueue(Protocol):
    """What a conductor asks for work: `Queue` for designs that are known in advance, `SearchQueue`
    for one that learns.
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
        """The next trial and the number of its attempt, or None: nothing is left, or nothing may
        start now.
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


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one call of the conductor may do. What is left over is done by the next call."""

    retries: int = 0
    """More attempts, in this call, for a trial whose worker died or hung."""
    max_trials: int | None = None
    """Trials that this call starts at most; retries of them are not counted."""
    budget_s: float | None = None
    """No trial starts that would, by the median so far, end later than this after the beginning."""
    only_failed: bool = False
    """Run only trials whose last attempt FAILED."""

    def after(self, *, n_trials: int, seconds: float) -> Limits:
        """What is left for the next stage of a call, after one that ran so many trials and took so
        long.
        """
        max_trials = None if self.max_trials is None else max(0, self.max_trials - n_trials)
        budget_s = None if self.budget_s is None else max(0.0, self.budget_s - seconds)
        return replace(self, max_trials=max_trials, budget_s=budget_s)


class Queue:
    """The trials that are not complete: seed by seed, so that a study that is cut short is
    balanced, and within a seed in the order of `WorkUnits`.
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
        self._limits, self._start = limits, time.monotonic()
        self._n_attempts: dict[str, int] = {}
        last: dict[str, Attempt] = {}
        for (trial_id, number), attempt in past.items():
            if number > self._n_attempts.get(trial_id, 0):
                self._n_attempts[trial_id], last[trial_id] = number, attempt
        done = {trial_id for (trial_id, _), attempt in past.items() if attempt.is_complete}
        failed = {
            trial_id
            for trial_id, attempt in last.items()
            if attempt.ended is not None and attempt.ended.state is TrialState.FAILED
        }
        self.n_reused = sum(trial.trial_id in done for trial in trials)
        left = [
            trial
            for trial in trials
            if trial.trial_id not in done and (trial.trial_id in failed or not limits.only_failed)
        ]
        self._left = WorkUnits(left[: limits.max_trials], unit_of)
        self._n_held_back = len(trials) - self.n_reused - len(self._left)
        self._retries: dict[str, int] = {}
        self._durations = [
            attempt.ended.at - attempt.started.at
            for attempt in past.values()
            if attempt.is_complete and attempt.ended is not None
        ]
        self._started: dict[str, float] = {}

    def take(self) -> tuple[Trial, int] | None:
        """The next trial and the number of its attempt, or None: nothing is left, or nothing may
        start any more.
        """
        trial = None if self._is_spent() else self._left.take()
        if trial is None:
            return None
        attempt = self._n_attempts.get(trial.trial_id, 0) + 1
        self._n_attempts[trial.trial_id] = attempt
        return trial, attempt

    def started(self, event: TrialStarted) -> None:
        """Note when a trial began."""
        self._started[event.trial_id] = event.at

    def ended(self, event: TrialEnded, trial: Trial) -> bool:
        """Note a trial's end; return whether it gets another attempt in this call."""
        self._left.ended(trial, is_complete=event.state is TrialState.COMPLETE)
        began = self._started.pop(event.trial_id, None)
        if event.state is TrialState.COMPLETE and began is not None:
            self._durations.append(event.at - began)
        if (
            event.state is not TrialState.FAILED
            or event.failure is None
            or event.failure.kind not in RETRIED
        ):
            return False
        used = self._retries.get(event.trial_id, 0)
        if used >= self._limits.retries:
            return False
        self._retries[event.trial_id] = used + 1
        self._left.again(trial)
        return True

    def is_hopeless(self, event: EpochEnded) -> bool:  # noqa: ARG002
        """Never: what a trial that is ended early would have reached is unknown, and effects
        estimated without it would be too good.
        """
        return False

    @property
    def n_left(self) -> int:
        """Trials that this call does not start, or has not started yet."""
        return len(self._left) + self._n_held_back

    def _is_spent(self) -> bool:
        if self._limits.budget_s is None:
            return False
        expected = statistics.median(self._durations) if self._durations else 0.0
        return time.monotonic() - self._start + expected > self._limits.budget_s


def distinct(trials: Sequence[Trial]) -> dict[str, Trial]:
    """trial_id -> trial. Raises CheckFailed where two are the same."""
    found = {trial.trial_id: trial for trial in trials}
    if len(found) != len(trials):
        raise CheckFailed(
            f"the trials of a study must differ, got {len(trials)} of which {len(found)} differ."
        )
    return found
