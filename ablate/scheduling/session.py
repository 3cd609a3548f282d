"""What one call of the program brings to a study: where it is kept, who runs it, who follows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ablate.scheduling.executors._base import Executor
from ablate.scheduling.limits import Limits
from ablate.scheduling.study_folder import StudyFolder
from ablate.study.request import CheckpointSpec, TrialRequest
from ablate.study.trial import Trial
from ablate.tracking.events import Event
from ablate.tracking.publisher import Store

MakeRequest = Callable[[Trial, int, Path], TrialRequest]
"""(trial, attempt, the attempt's empty folder) -> what the executor is handed."""
CHECKPOINT_EVERY_S = 20.0
"""Work that a killed trial may lose besides its current epoch.

Trials that are shorter pay nothing for checkpoints.
"""


def ignore(event: Event) -> None:
    """The listener of a call that nobody watches."""


@dataclass(frozen=True, slots=True)
class Session:
    """One call of the conductor, apart from the study itself, which is a `StudyPlan`."""

    folder: Path
    """The study's own folder; its content is described at `run_study`."""
    executor: Executor
    make_request: MakeRequest
    store: Store | None = None
    """The tracking store; None publishes nothing."""
    on_event: Callable[[Event], object] = ignore
    """Hears each event after it is in the journal."""
    limits: Limits = field(default_factory=Limits)
    optuna_url: str | None = None
    """Of Optuna's storage; None: a SQLite file in `folder`."""
    checkpoint_every_s: float = CHECKPOINT_EVERY_S

    def request(self, trial: Trial, attempt: int, attempt_folder: Path) -> TrialRequest:
        """A request whose trial keeps its last whole epoch in the study's folder."""
        # Not in the attempt's folder: the next attempt has another one, and goes on from this.
        checkpoint = CheckpointSpec(
            folder=StudyFolder(self.folder).checkpoint(trial.trial_id),
            every_s=self.checkpoint_every_s,
        )
        request = self.make_request(trial, attempt, attempt_folder)
        return request.model_copy(update={"checkpoint": checkpoint})
