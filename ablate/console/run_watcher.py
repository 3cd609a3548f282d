"""Shows each step of a run as it comes; see `Watcher`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ablate.console.after_run import show_pilot, show_trials
from ablate.console.before_run import show_brightness, show_data, show_seen
from ablate.console.progress import StudyDisplay
from ablate.console.second_stage import chosen_lines
from ablate.console.steps import step_progress
from ablate.workflow.run.watcher import OnEvent, StageView

if TYPE_CHECKING:
    from ablate.scheduling.summary import StudySummary
    from ablate.workflow.context import StudyContext
    from ablate.workflow.prepare.image_stores import Progress
    from ablate.workflow.prepare.resolved import Resolved


@dataclass(frozen=True)
class RunWatcher:
    """Prints to a console."""

    console: Console

    def data_found(self, resolved: Resolved) -> None:
        """See `Watcher`."""
        show_data(self.console, resolved)

    @contextmanager
    def preparing(self) -> Iterator[Progress]:
        """See `Watcher`."""
        with step_progress(self.console) as on_progress:
            yield on_progress

    def images_checked(self, resolved: Resolved) -> None:
        """See `Watcher`."""
        # All of them are decoded by now; `data_found` has only said which data there are.
        show_brightness(self.console, resolved.record.data.brightest, images="all images")
        show_seen(self.console, resolved.record.seen_shares)

    def shared_name(self, other: Path) -> None:
        """See `Watcher`."""
        self.console.print(
            f"note: this study was run before from another grid file of the same name, {other}: "
            "the two share one study, one experiment in MLflow and one report, which the last run "
            "writes; rename one of the files to keep them apart",
            style="bold yellow",
        )

    def adopted(self, n_trials: int) -> None:
        """See `Watcher`."""
        # Nothing is said of nothing: the store is asked in every run.
        if n_trials:
            self.console.print(
                f"{n_trials} trials were found in MLflow that this home did not know; "
                "they are taken over and not trained again"
            )

    @contextmanager
    def training(self, stage: StageView) -> Iterator[OnEvent]:
        """See `Watcher`."""
        display = StudyDisplay(self.console, stage)
        with display.shown():
            yield display.on_event

    def pilot_ended(self, context: StudyContext, summary: StudySummary) -> None:
        """See `Watcher`."""
        show_pilot(self.console, context, summary)

    def second_stage_chosen(self, context: StudyContext) -> None:
        """See `Watcher`."""
        for line in chosen_lines(context.record):
            self.console.print(line)

    def report_failed(self, context: StudyContext, summary: StudySummary) -> None:
        """See `Watcher`."""
        show_trials(self.console, context, summary)
