"""What commands say of a study between and after its trials. Prints to the console that the command line made."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from ablate.console.progress import StudyDisplay, frame_table
from ablate.errors import ReportError
from ablate.scheduling.limits import Limits
from ablate.scheduling.summary import StudySummary
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.records import PublishedStudy
from ablate.workflow.folders import Places
from ablate.workflow.prepare.machines import Machines
from ablate.workflow.prepare.prepared import Prepared
from ablate.workflow.run.pilot_study import PilotEnd


def run_pilot_aloud(
    console: Console,
    prepared: Prepared,
    store: MlflowStore,
    *,
    machines: Machines,
    limits: Limits,
    optuna_url: str | None,
) -> PilotEnd:
    """Run the search or the tuning that comes before the study, and say how it went."""
    from ablate.console.pilot_lines import nothing_chosen, pilot_ending
    from ablate.workflow.run.pilot_study import adopt_pilot, n_asked, pilot_folder, run_pilot
    from ablate.workflow.run.run_prepared import count_ended

    _say_adopted(console, adopt_pilot(prepared, store))
    names: dict[str, str] = {}
    resolved, n_ended = prepared.resolved, count_ended(pilot_folder(prepared))
    display = StudyDisplay(
        console,
        names,
        n_trials=n_asked(prepared),
        select_by=resolved.grid.select_by,
        n_before=n_ended,
    )
    with display.shown():
        end = run_pilot(
            prepared,
            store,
            machines=machines,
            on_event=display.on_event,
            names=names,
            limits=limits,
            optuna_url=optuna_url,
        )
    console.print(pilot_ending(resolved, end.summary))
    _say_repeats(console, end.summary)
    _say_unpublished(console, end.summary, grid=resolved.grid.name)
    for failed in end.summary.failures:
        console.print(f"failed: {failed.arm}: {failed.failure.message} (traceback: {failed.path})")
    if end.prepared is None and not end.summary.n_left:
        console.print(nothing_chosen(resolved))
    return end


def adopt_aloud(console: Console, prepared: Prepared, store: MlflowStore) -> None:
    """Take over what MLflow holds of the study and this home does not, and say so before anything is trained."""
    from ablate.workflow.run.run_prepared import adopt_published

    _say_adopted(console, adopt_published(prepared, store))


def _say_adopted(console: Console, n_adopted: int) -> None:
    if n_adopted:
        console.print(
            f"{n_adopted} trials were found in MLflow that this home did not know; they are taken over and not trained again"
        )


@dataclass(frozen=True)
class ReportWish:
    """What is asked of the report of a study that was just run."""

    grid: str
    """As it was typed."""
    folder: Path
    has_images: bool
    limits: Limits

    def command(self, summary: StudySummary) -> str:
        """What to type to write the report again, after publishing what MLflow was not told."""
        publish = (
            f"{shlex.join(['ablate', 'sync', self.grid])} && " if summary.unpublished.why else ""
        )
        words = ["ablate", "report", self.grid, "--report-dir", str(self.folder)]
        if not self.has_images:
            words.append("--no-images")
        return publish + shlex.join(words)


def report_aloud(
    console: Console,
    prepared: Prepared,
    store: MlflowStore,
    summary: StudySummary,
    *,
    wish: ReportWish,
    where: Places,
) -> None:
    """Write the report of a study that was just run, log its best model, and say how all went. Nothing is written where no trial has ever ended.

    Raises ReportError, after the trials were told of, where report or model could not be made.
    """
    from ablate.workflow.after.reports import report_study, results_kept
    from ablate.workflow.run.run_prepared import log_champion
    from ablate.workflow.run.thumbnails import take_thumbnails

    if not (summary.n_started or summary.n_reused):
        say_trials(console, summary, wish=wish)
        return
    record = prepared.resolved.record
    try:
        with results_kept(again=wish.command(summary)):
            study, report = report_study(
                where,
                grid_name=record.grid_name,
                study_id=record.study_id,
                report_dir=wish.folder,
                has_images=wish.has_images,
                take=partial(take_thumbnails, prepared),
            )
        with results_kept(again="the same command logs the best model"):
            log_champion(study, store, folder=prepared.folder)
    except ReportError:
        say_trials(console, summary, wish=wish)
        raise
    say_end(console, study, summary, readme=report.readme, wish=wish)


def say_end(
    console: Console,
    study: PublishedStudy,
    summary: StudySummary,
    *,
    readme: Path,
    wish: ReportWish,
) -> None:
    """Say how a study ended, and where to look."""
    from ablate.workflow.after.reports import arms_overview

    console.print(frame_table(arms_overview(study), title="Arms, mean ± SD over seeds"))
    say_trials(console, summary, wish=wish)
    console.print(f"report: {readme}")
    console.print(f"compare the runs: make ui GRID={shlex.quote(wish.grid)}")


def say_trials(console: Console, summary: StudySummary, *, wish: ReportWish) -> None:
    """Say how many trials ended how, and why some failed."""
    if wish.limits.only_failed and not summary.n_started:
        rest = (
            f"; without --only-failed the {summary.n_left} left are run" if summary.n_left else ""
        )
        console.print(f"nothing to do: no trial failed last time{rest}")
    left = f", {summary.n_left} left for the next call" if summary.n_left else ""
    console.print(
        f"trials: {summary.n_complete} completed now, {summary.n_reused} before, {summary.n_failed} failed{left}"
    )
    for failed in summary.failures:
        console.print(
            f"failed: {failed.arm}, seed {failed.seed}: {failed.failure.message} (traceback: {failed.path})"
        )
    _say_repeats(console, summary)
    _say_unpublished(console, summary, grid=wish.grid)


def _say_unpublished(console: Console, summary: StudySummary, *, grid: str) -> None:
    if summary.unpublished.why:
        console.print(
            f"note: {summary.unpublished.n_attempts} trials are kept in the study's journal and are not whole in MLflow yet ({summary.unpublished.why}), "
            f"so the report may lack them; publish them with: ablate sync {shlex.quote(grid)} && ablate report {shlex.quote(grid)}"
        )


def _say_repeats(console: Console, summary: StudySummary) -> None:
    """Say how often a trial was tried again and why, and what Optuna lacks."""
    if summary.n_retries:
        why = ", ".join(f"{reason} ({count})" for reason, count in summary.retried.items())
        console.print(f"repeats: {summary.n_retries} attempts tried a trial again, after {why}")
    if summary.optuna_problem:
        console.print(
            f"note: Optuna's storage lags behind the study ({summary.optuna_problem}); the next call catches it up"
        )


def say_shared_name(console: Console, folder: Path, grid_file: Path) -> None:
    """Say where the study was run before from another grid file of the same name: both are one study, with one report."""
    from ablate.workflow.prepare.grid_source import other_source

    other = other_source(folder, grid_file)
    if other is not None:
        console.print(
            f"note: this study was run before from another grid file of the same name, {other}: the two share one study, one experiment in MLflow "
            "and one report, which the last run writes; rename one of the files to keep them apart",
            style="bold yellow",
        )
