"""What a call of the conductor achieved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ablate.tracking.events import Failure
from ablate.tracking.publisher import Unpublished


@dataclass(frozen=True, slots=True)
class FailedTrial:
    """A trial that did not complete in this call."""

    trial_id: str
    arm: str
    seed: int
    attempt: int
    failure: Failure
    path: Path
    """File with the full traceback."""


@dataclass(frozen=True, slots=True)
class StudySummary:
    """Counts of trials; they add up to the trials that were asked for."""

    n_complete: int
    """Completed in this call."""
    n_reused: int
    """Complete from earlier calls, not run again."""
    n_pruned: int
    """Ended early by a search's pruner in this call."""
    n_failed: int
    n_left: int
    """Not started, because the budget or another limit of this call was reached; the next call
    starts them."""
    n_retries: int
    """Attempts beyond a trial's first in this call; counted beside the trials."""
    failures: tuple[FailedTrial, ...]
    unpublished: Unpublished
    """What the tracking store was not told; the next call tells it."""
    optuna_problem: str
    """Why Optuna's storage lags behind the journal, or empty; the next call catches it up."""
    damage: str = ""
    """What was damaged in the journal when this call began, and mended, in a sentence; empty where
    nothing was."""
    retried: Mapping[str, int] = field(default_factory=dict)
    """Why attempts were repeated in this call -> how often; they add up to `n_retries`."""

    @property
    def n_started(self) -> int:
        """Trials that were brought to an end in this call."""
        return self.n_complete + self.n_pruned + self.n_failed
