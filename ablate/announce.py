"""What commands say of a study between and after its trials. Prints to the console that the command line made."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console

from ablate.display import StudyDisplay, frame_table
from ablate.scheduling.limits import Limits
from ablate.scheduling.summary import StudySummary
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.records import PublishedStudy
from ablate.workflow.machines import Machines
from ablate.workflow.prepare import Prepared
from ablate.workflow.stages import PilotEnd


def run_pilot_aloud(console: Console, prepared: Prepared, store: MlflowStore, *, machines: Machines, limits: Limits, optuna_url: str | None) -> PilotEnd:
    """Run the search or the tuning that comes before the study, and say how it went."""
    from ablate.workflow.pilot_text import nothing_chosen, pilot_ending
    from ablate.workflow.run import count_ended
    from ablate.workflow.stages import n_asked, pilot_folder, run_pilot

    names: dict[str, str] = {}
    resolved, n_ended = prepared.resolved, count_ended(pilot_folder(prepared))
    display = StudyDisplay(console, names, n_trials=n_asked(prepared), select_by=resolved.grid.select_by, n_before=n_ended)
    with display.shown():
        end = run_pilot(prepared, store, machines=machines, on_event=display.on_event, names=names, limits=limits, optuna_url=optuna_url)
    console.print(pilot_ending(resolved, end.summary))
    _say_repeats(console, end.summary)
    for failed in end.summary.failures:
        console.print(f"failed: {failed.arm}: {failed.failure.message} (traceback: {failed.path})")
    if end.prepared is None and not end.summary.n_left:
        console.print(nothing_chosen(resolved))
    return end


def say_end(console: Console, study: PublishedStudy, summary: StudySummary, *, readme: Path, grid: str) -> None:
    """Say how a study ended, and where to look."""
    from ablate.workflow.reports import arms_overview

    console.print(frame_table(arms_overview(study), title="Arms, mean ± SD over seeds"))
    left = f", {summary.n_left} left for the next call" if summary.n_left else ""
    console.print(f"trials: {summary.n_complete} completed now, {summary.n_reused} before, {summary.n_failed} failed{left}")
    for failed in summary.failures:
        console.print(f"failed: {failed.arm}, seed {failed.seed}: {failed.failure.message} (traceback: {failed.path})")
    _say_repeats(console, summary)
    if summary.unpublished.why:
        console.print(
            f"note: {summary.unpublished.n_attempts} trials are not whole in MLflow yet ({summary.unpublished.why}); "
            f"publish them with: ablate sync {shlex.quote(grid)}"
        )
    console.print(f"report: {readme}")
    console.print(f"compare the runs: make ui GRID={shlex.quote(grid)}")


def _say_repeats(console: Console, summary: StudySummary) -> None:
    """Say how often a trial was tried again and why, and what Optuna lacks."""
    if summary.n_retries:
        why = ", ".join(f"{reason} ({count})" for reason, count in summary.retried.items())
        console.print(f"repeats: {summary.n_retries} attempts tried a trial again, after {why}")
    if summary.optuna_problem:
        console.print(f"note: Optuna's storage lags behind the study ({summary.optuna_problem}); the next call catches it up")


def say_shared_name(console: Console, folder: Path, grid_file: Path) -> None:
    """Say where the study was run before from another grid file of the same name: both are one study, with one report."""
    from ablate.workflow.grid_source import other_source

    other = other_source(folder, grid_file)
    if other is not None:
        console.print(
            f"note: this study was run before from another grid file of the same name, {other}: the two share one study, one experiment in MLflow "
            "and one report, which the last run writes; rename one of the files to keep them apart",
            style="bold yellow",
        )
