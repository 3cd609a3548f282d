"""How much one call may do: retries, `--max-trials`, the budget, `--only-failed`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ablate.scheduling.executors._base import TRIAL_TIMEOUT, WORKER_DIED, WORKER_SILENT

# The machine's fault, not the recipe's: a lost node, memory that others took, a hung driver.
RETRIED = frozenset({WORKER_DIED, WORKER_SILENT, TRIAL_TIMEOUT})
"""Kinds of failure that another attempt may not meet.

A trial's own error comes again: the same seed makes the same mistake.
"""


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
        """What is left for the next stage of a call, after one that ran `n_trials` in `seconds`."""
        max_trials = self.max_trials
        if max_trials is not None:
            max_trials = max(0, max_trials - n_trials)
        # 0 is a limit, None is none: a budget that is used up must not become boundless.
        budget_s = self.budget_s
        if budget_s is not None:
            budget_s = max(0.0, budget_s - seconds)
        return replace(self, max_trials=max_trials, budget_s=budget_s)
