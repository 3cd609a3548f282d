"""What commands say of a study between and after its trials. Prints to the console that the command line made."""

from __future__ import annotations

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
    from ablate.workflow.stages import adopt_pilot, n_asked, pilot_folder, run_pilot

    _say_adopted(console, adopt_pilot(prepared, store))
    names: dict[str, str] = {}
    resolved, n_ended = prepared.resolved, count_ended(pilot_folder(prepared))
    display = StudyDisplay(console, names, n_trials=n_asked(prepared), select_by=resolved.grid.select_by, n_before=n_ended)
    with display.shown():
        end = run_pilot(prepared, store, machines=machines, on_event=display.on_event, names=names, limits=limits, optuna_url=optuna_url)
    console.print(pilot_ending(resolved, end.summary))
    _say_unpublished(console, end.summary, grid=resolved.grid.name)
    for failed in end.summary.failures:
        console.print(f"failed: {failed.arm}: {failed.failure.message} (traceback: {failed.path})")
    if end.prepared is None and not end.summary.n_left:
        console.print(nothing_chosen(resolved))
    return end


def adopt_aloud(console: Console, prepared: Prepared, store: MlflowStore) -> None:
    """Take over what MLflow holds of the study and this home does not, and say so before anything is trained."""
    from ablate.workflow.run import adopt_published

    _say_adopted(console, adopt_published(prepared, store))


def _say_adopted(console: Console, n_adopted: int) -> None:
    if n_adopted:
        console.print(f"{n_adopted} trials were found in MLflow that this home did not know; they are taken over and not trained again")


def say_kept(console: Console, summary: StudySummary, *, grid: str, why: str) -> None:
    """Say of a study that was trained and has no report what is kept, what is missing, and which commands go on."""
    n_kept = summary.n_complete + summary.n_reused
    console.print(f"trials: {summary.n_complete} completed now, {summary.n_reused} before, {summary.n_failed} failed, {summary.n_left} left")
    _say_failed(console, summary)
    if summary.unpublished.why:
        console.print(f"{summary.unpublished.n_attempts} trials are not whole in MLflow ({summary.unpublished.why})")
    console.print(
        f"no report: {why}\n{n_kept} completed trials are kept in the study's journal and are not trained again; "
        f"publish them and write the report with: ablate sync {grid} && ablate report {grid}"
    )


def _say_failed(console: Console, summary: StudySummary) -> None:
    for failed in summary.failures:
        console.print(f"failed: {failed.arm}, seed {failed.seed}: {failed.failure.message} (traceback: {failed.path})")


def _say_unpublished(console: Console, summary: StudySummary, *, grid: str) -> None:
    if summary.unpublished.why:
        console.print(
            f"note: {summary.unpublished.n_attempts} trials are kept in the study's journal and are not whole in MLflow yet ({summary.unpublished.why}), "
            f"so the report may lack them; publish them with: ablate sync {grid} && ablate report {grid}"
        )


def say_end(console: Console, study: PublishedStudy, summary: StudySummary, *, readme: Path, grid: str) -> None:
    """Say how a study ended, and where to look."""
    from ablate.workflow.reports import arms_overview

    console.print(frame_table(arms_overview(study), title="Arms, mean ± SD over seeds"))
    left = f", {summary.n_left} left for the next call" if summary.n_left else ""
    console.print(f"trials: {summary.n_complete} completed now, {summary.n_reused} before, {summary.n_failed} failed{left}")
    _say_failed(console, summary)
    _say_unpublished(console, summary, grid=grid)
    console.print(f"report: {readme}")
    console.print(f"compare the runs: make ui GRID={grid}")
