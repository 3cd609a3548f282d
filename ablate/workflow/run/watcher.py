"""Who is told how a run goes. The library tells nobody unless it is asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ablate.tracking.events import Event

if TYPE_CHECKING:  # a watcher is also wanted where neither MLflow nor Optuna is
    from ablate.scheduling.remaining import StudyClock
    from ablate.scheduling.summary import StudySummary
    from ablate.workflow.context import StudyContext
    from ablate.workflow.prepare.image_stores import Progress
    from ablate.workflow.prepare.resolved import Resolved

OnEvent = Callable[[Event], object]


def ignore(event: Event) -> None:
    """Hears an event and does nothing."""


def ignore_progress(what: str, done: int, total: int) -> None:
    """Hears of a step and does nothing."""


@dataclass(frozen=True, slots=True)
class StageView:
    """What a display must know of the trials that are about to run."""

    names: Mapping[str, str]
    """trial_id -> what to call the trial; a search adds to it while it runs."""
    n_trials: int
    select_by: str
    n_before: int
    """Trials that earlier calls brought to their end."""
    clock: StudyClock | None = None
    """Knows what earlier calls took."""
    is_inline: bool = False
    """Whether trials run in this process, whose terminal a debugger may need."""


class Watcher(Protocol):
    """Hears of each step of a run, in this order."""

    def data_found(self, resolved: Resolved) -> None:
        """The data were found and the grid was expanded on them."""
        ...

    def preparing(self) -> AbstractContextManager[Progress]:
        """While the block runs, images are decoded and networks are built."""
        ...

    def images_checked(self, resolved: Resolved) -> None:
        """All images were seen; `resolved.record.data` says what stands out."""
        ...

    def shared_name(self, other: Path) -> None:
        """The study was run before from another grid file of the same name."""
        ...

    def adopted(self, n_trials: int) -> None:
        """Trials that MLflow had and this home had not are not trained again."""
        ...

    def training(self, stage: StageView) -> AbstractContextManager[OnEvent]:
        """While the block runs, trials do; what it gives hears each event."""
        ...

    def pilot_ended(self, context: StudyContext, summary: StudySummary) -> None:
        """A pilot stopped, with trials left or without."""
        ...

    def second_stage_chosen(self, context: StudyContext) -> None:
        """The study's own trials have ended, and others follow that it chose."""
        ...

    def report_failed(self, context: StudyContext, summary: StudySummary) -> None:
        """The trials are kept, but the report or the model could not be made."""
        ...


@dataclass(frozen=True)
class Quiet:
    """Passes on progress and events to two functions, and says nothing by itself."""

    on_event: OnEvent = ignore
    on_progress: Progress = ignore_progress

    def data_found(self, resolved: Resolved) -> None:
        """See `Watcher`."""

    @contextmanager
    def preparing(self) -> Iterator[Progress]:
        """See `Watcher`."""
        # Context managers, since a display has to be put away also where a step fails.
        yield self.on_progress

    def images_checked(self, resolved: Resolved) -> None:
        """See `Watcher`."""

    def shared_name(self, other: Path) -> None:
        """See `Watcher`."""

    def adopted(self, n_trials: int) -> None:
        """See `Watcher`."""

    @contextmanager
    def training(self, stage: StageView) -> Iterator[OnEvent]:  # noqa: ARG002
        """See `Watcher`."""
        yield self.on_event

    def pilot_ended(self, context: StudyContext, summary: StudySummary) -> None:
        """See `Watcher`."""

    def second_stage_chosen(self, context: StudyContext) -> None:
        """See `Watcher`."""

    def report_failed(self, context: StudyContext, summary: StudySummary) -> None:
        """See `Watcher`."""
