"""What commands say of a study before, between and after its trials. Prints to the console that the command line made."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ablate.display import StudyDisplay, rows_table
from ablate.model.network import RecipeFacts
from ablate.scheduling.limits import Limits
from ablate.scheduling.summary import StudySummary
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.records import PublishedStudy
from ablate.workflow.machines import Machines
from ablate.workflow.prepare import Prepared, Resolved
from ablate.workflow.settings import Places
from ablate.workflow.stages import PilotEnd


def say_what(console: Console, resolved: Resolved) -> None:
    """Say which data and which grid were found."""
    facts, expansion = resolved.data_set.facts, resolved.expansion
    if facts.is_fallback:
        console.print(
            f"[bold yellow]data: {facts.requested_source} is not to be had here; its declared fallback {facts.source} ({facts.title}) is used[/bold yellow]"
        )
    sizes = ", ".join(f"{split} {sum(counts)}" for split, counts in facts.class_counts.items())
    kind = "synthetic" if facts.is_synthetic else "real"
    console.print(f"data: {facts.title} ({kind}; {len(facts.class_names)} classes; {sizes} images; splits: {facts.split_rule})")
    if resolved.pilot is not None:
        from ablate.workflow.pilot_text import pilot_line

        console.print(pilot_line(resolved))
    if not expansion.arms:
        return
    n_merged = sum(len(arm.cells) - 1 for arm in expansion.arms)
    console.print(
        f"grid: {expansion.n_cells} cells = {len(expansion.arms)} arms + {n_merged} merged with an equal one + {len(expansion.excluded)} left out; "
        f"{len(resolved.record.seeds)} seeds; {len(resolved.trials)} trials"
    )


def say_estimate(console: Console, resolved: Resolved, facts: dict[str, RecipeFacts], *, workers: int | None, where: Places) -> None:
    """Measure a few steps of each kind of arm, and say what the study will cost."""
    from ablate.workflow.estimate import cost_table, kinds_of
    from ablate.workflow.probe import estimate_lines, probe_kinds

    kinds = kinds_of(resolved, facts)
    probes = probe_kinds(resolved, kinds, where, threads=1, workers=workers)
    console.print(rows_table(cost_table(resolved, kinds, probes.kinds), title="Estimated cost, by kind of arm"))
    for line in estimate_lines(resolved, kinds, probes):
        console.print(line)


def run_pilot_aloud(console: Console, prepared: Prepared, store: MlflowStore, *, machines: Machines, limits: Limits, optuna_url: str | None) -> PilotEnd:
    """Run the search or the tuning that comes before the study, and say how it went."""
    from ablate.workflow.pilot_text import nothing_chosen, pilot_ending
    from ablate.workflow.run import count_ended
    from ablate.workflow.stages import n_asked, pilot_folder, run_pilot

    names: dict[str, str] = {}
    resolved, n_ended = prepared.resolved, count_ended(pilot_folder(prepared))
    display = StudyDisplay(console, names, n_trials=n_asked(prepared), select_by=resolved.grid.select_by, n_ended=n_ended)
    with display.shown():
        end = run_pilot(prepared, store, machines=machines, on_event=display.on_event, names=names, limits=limits, optuna_url=optuna_url)
    console.print(pilot_ending(resolved, end.summary))
    for failed in end.summary.failures:
        console.print(f"failed: {failed.arm}: {failed.failure.message} (traceback: {failed.path})")
    if end.prepared is None and not end.summary.n_left:
        console.print(nothing_chosen(resolved))
    return end


def say_end(console: Console, study: PublishedStudy, summary: StudySummary, *, readme: Path, grid: str) -> None:
    """Say how a study ended, and where to look."""
    from ablate.workflow.reports import arms_overview

    console.print(rows_table(arms_overview(study), title="Arms, mean ± SD over seeds"))
    left = f", {summary.n_left} left for the next call" if summary.n_left else ""
    console.print(f"trials: {summary.n_complete} completed now, {summary.n_reused} before, {summary.n_failed} failed{left}")
    for failed in summary.failures:
        console.print(f"failed: {failed.arm}, seed {failed.seed}: {failed.failure.message} (traceback: {failed.path})")
    if summary.unpublished.why:
        console.print(
            f"note: {summary.unpublished.n_attempts} trials are not whole in MLflow yet ({summary.unpublished.why}); publish them with: ablate sync {grid}"
        )
    console.print(f"report: {readme}")
    console.print(f"compare the runs: make ui GRID={grid}")
