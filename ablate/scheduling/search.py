"""Search: trials that Optuna's samplers propose, and that its pruners may end early.

For finding good arms, never for estimating effects: what is proposed depends on what was seen. So a
search ends with its best few arms, which are then trained with seeds that the search has not seen,
and only those enter conclusions.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence

from ablate.scheduling.limits import RETRIED, Limits
from ablate.scheduling.proposals import Proposals
from ablate.study.trial import Trial
from ablate.tracking.events import EpochEnded, TrialEnded, TrialStarted, TrialState
from ablate.tracking.journal import Attempt


class SearchQueue:
    """See `TrialQueue`: the next trial is the sampler's proposal.

    It knows of all that has ended, in this call and before.
    """

    def __init__(
        self,
        proposals: Proposals,
        past: Mapping[tuple[str, int], Attempt],
        *,
        known: Mapping[str, Trial],
        limits: Limits,
    ) -> None:
        """`known` are the trials behind `past`, by trial_id."""
        self._proposals = proposals
        self._limits = limits
        self._start = time.monotonic()
        self._n_attempts: dict[str, int] = {}
        self._n_retries: Counter[str] = Counter()
        # Trials that wait for another attempt; what is retried in this call stands at its front.
        self._left: deque[Trial] = deque()
        self._n_started = 0
        # Trials of earlier calls that have ended for good.
        self.n_reused = 0
        self._take_up_past(known, past)
        # Trials of earlier calls that this one leaves alone.
        self._n_held_back = 0
        if limits.only_failed:
            self._hold_back_all_but_failed(past)

    def _take_up_past(
        self, known: Mapping[str, Trial], past: Mapping[tuple[str, int], Attempt]
    ) -> None:
        tries: dict[str, list[Attempt]] = {}
        for (trial_id, _), attempt in past.items():
            tries.setdefault(trial_id, []).append(attempt)
        for trial_id, trial in known.items():
            self._take_up(trial, tries.get(trial_id, []))

    def _take_up(self, trial: Trial, attempts: Sequence[Attempt]) -> None:
        """Take up what an earlier call proposed.

        What has ended is told to the sampler again. What was killed, failed or never started is
        proposed again, first of all.
        """
        self._proposals.propose_again(trial)
        numbers = [attempt.started.attempt for attempt in attempts]
        self._n_attempts[trial.trial_id] = max(numbers, default=0)
        for attempt in attempts:
            ended = attempt.ended
            if ended is not None and ended.state in (TrialState.COMPLETE, TrialState.PRUNED):
                # The pruner compares later trials with what this one reported.
                for event in attempt.epochs:
                    # For what it reports; its answer is of no use now.
                    self._proposals.is_hopeless(event)
                self.n_reused += 1
                self._proposals.ended(ended)
                return
        self._left.append(trial)

    def _hold_back_all_but_failed(self, past: Mapping[tuple[str, int], Attempt]) -> None:
        # Attempts of a trial come in their order, so the last one stays.
        last = {trial_id: attempt.ended for (trial_id, _), attempt in past.items()}
        failed = deque[Trial]()
        for trial in self._left:
            end = last.get(trial.trial_id)
            if end is not None and end.state is TrialState.FAILED:
                failed.append(trial)
        self._n_held_back = len(self._left) - len(failed)
        self._left = failed

    def take(self) -> tuple[Trial, int] | None:
        """The next trial and the number of its attempt.

        None where the search is over, or waits for nothing but ends.
        """
        trial = self._next()
        if trial is None:
            return None
        attempt = self._n_attempts.get(trial.trial_id, 0) + 1
        self._n_attempts[trial.trial_id] = attempt
        return trial, attempt

    def _next(self) -> Trial | None:
        if self._left and self._left[0].trial_id in self._n_retries:
            return self._left.popleft()  # retries count against no limit
        if self._is_spent() or self._n_started == self._limits.max_trials:
            return None
        trial = None
        if self._left:
            trial = self._left.popleft()
        # Only now: to ask the sampler is to draw, and a draw that nobody runs would be lost.
        elif not self._limits.only_failed:
            trial = self._proposals.propose()
        if trial is not None:
            self._n_started += 1
        return trial

    def _is_spent(self) -> bool:
        budget_s = self._limits.budget_s
        return budget_s is not None and time.monotonic() - self._start > budget_s

    def started(self, event: TrialStarted) -> None:
        """Nothing follows from a start."""

    def is_hopeless(self, event: EpochEnded) -> bool:
        """See `Proposals.is_hopeless`."""
        return self._proposals.is_hopeless(event)

    def ended(self, event: TrialEnded, trial: Trial) -> bool:
        """Tell the sampler how a trial ended; return whether it gets another attempt now."""
        is_hung = (
            event.state is TrialState.FAILED
            and event.failure is not None
            and event.failure.kind in RETRIED
        )
        # First of all, not behind the others as in `Queue`: further proposals would lack its score.
        if is_hung and self._n_retries[event.trial_id] < self._limits.retries:
            self._n_retries[event.trial_id] += 1
            self._left.appendleft(trial)
            return True
        self._proposals.ended(event)
        return False

    @property
    def n_left(self) -> int:
        """Trials that the search may still propose, and those that wait for another attempt."""
        return len(self._left) + self._n_held_back + self._proposals.n_left
