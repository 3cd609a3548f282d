"""The one handle of a study that runs: passed whole from step to step, never taken apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.grid.grid_file import Grid
from ablate.scheduling.executors._base import Executor
from ablate.scheduling.limits import Limits
from ablate.scheduling.session import MakeRequest, Session
from ablate.study.record import StudyRecord
from ablate.study.trial import Trial
from ablate.tracking.events import Event
from ablate.tracking.mlflow_store import MlflowStore
from ablate.workflow.folders import Folders
from ablate.workflow.prepare.machines import Machines
from ablate.workflow.prepare.prepared import Prepared
from ablate.workflow.prepare.resolved import Resolved


@dataclass(frozen=True, slots=True)
class StudyContext:
    """A prepared study, and what one call brings to it."""

    prepared: Prepared
    folders: Folders
    store: MlflowStore
    """The grid's part of the tracking store."""
    machines: Machines
    limits: Limits
    """What this call may still do."""
    report_dir: Path
    has_images: bool = True
    """Whether the report shows example images."""
    grid_words: str = ""
    """The grid as a user would type it again."""

    @property
    def resolved(self) -> Resolved:
        """The grid on its data."""
        return self.prepared.resolved

    @property
    def grid(self) -> Grid:
        """What was asked."""
        return self.resolved.grid

    @property
    def record(self) -> StudyRecord:
        """What the study is."""
        return self.resolved.record

    @property
    def trials(self) -> Sequence[Trial]:
        """Every trial of the study, whether it has run or not."""
        return self.resolved.trials

    # The one place where a call's settings become a conductor's: pilot, study and second stage
    # alike.
    def session(
        self,
        folder: Path,
        executor: Executor,
        make_request: MakeRequest,
        on_event: Callable[[Event], object],
    ) -> Session:
        """One call of the conductor in a study's `folder`, with all that this context knows."""
        return Session(
            folder,
            executor,
            make_request,
            store=self.store,
            on_event=on_event,
            limits=self.limits,
            optuna_url=self.folders.optuna_url,
        )

    def followed_by(self, prepared: Prepared, *, limits: Limits) -> StudyContext:
        """The context of the study that a pilot has prepared, with what it left of the limits."""
        return replace(self, prepared=prepared, limits=limits)
