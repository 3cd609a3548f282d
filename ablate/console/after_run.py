"""How a study ended, and where to look."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rich.console import Console

from ablate.console.pilot import nothing_chosen, pilot_ending
from ablate.console.second_stage import second_stage_ending
from ablate.console.tables import frame_table
from ablate.scheduling.summary import StudySummary
from ablate.workflow.commands import ui_command

if TYPE_CHECKING:
    from ablate.workflow.context import StudyContext
    from ablate.workflow.run.run_grid import RunOutcome


def show_outcome(console: Console, outcome: RunOutcome) -> None:
    """Print what a call has achieved. What a pilot did was printed when it stopped."""
    # The call came to its end in the pilot, or the pilot left nothing to compare.
    if outcome.summary is None:
        if outcome.is_without_choice:
            console.print(nothing_chosen(outcome.context.resolved))
        return
    # None where no trial has ever ended: there is nothing to compare yet.
    if outcome.study is not None:
        # pandas, for the table alone
        from ablate.workflow.after.reports import arms_overview

        overview = arms_overview(outcome.study)
        console.print(frame_table(overview, title="Arms, mean ± SD over seeds"))
    show_trials(console, outcome.context, outcome.summary)
    if outcome.second_stage is not None:
        show_second_stage(console, outcome.context, outcome.second_stage)
    if outcome.report is not None:
        console.print(f"report: {outcome.report.readme}")
        console.print(f"open it in a browser: {outcome.report.page}")
        console.print(f"compare the runs: {ui_command(outcome.context.grid_words)}")


def show_trials(console: Console, context: StudyContext, summary: StudySummary) -> None:
    """Print how many trials ended how, and why some failed."""
    # Else "0 completed" would read as if the study were empty.
    if context.limits.only_failed and not summary.n_started:
        rest = ""
        if summary.n_left:
            rest = f"; without --only-failed the {summary.n_left} left are run"
        console.print(f"nothing to do: no trial failed last time{rest}")
    left = ""
    if summary.n_left:
        left = f", {summary.n_left} left for the next call"
    console.print(
        f"trials: {summary.n_complete} completed now, {summary.n_reused} before, "
        f"{summary.n_failed} failed{left}"
    )
    # "0 completed now" alone would read as if something had gone wrong.
    is_asked_for_all = not context.limits.only_failed
    if is_asked_for_all and summary.n_reused and not (summary.n_started or summary.n_left):
        console.print("finished: every trial was complete before this call; nothing was trained")
    _show_failures(console, summary)
    show_repeats(console, summary)
    show_unpublished(console, summary, grid=context.grid_words)


def show_second_stage(console: Console, context: StudyContext, summary: StudySummary) -> None:
    """Print how the trials ended that follow a study."""
    # The stage was asked for, and had nothing to train: `chosen_lines` has said so.
    if not (context.record.fresh_seeds or context.record.added_arms):
        return
    console.print(second_stage_ending(summary))
    _show_failures(console, summary)
    show_repeats(console, summary)
    show_unpublished(console, summary, grid=context.grid_words)


def _show_failures(console: Console, summary: StudySummary) -> None:
    for failed in summary.failures:
        console.print(
            f"failed: {failed.arm}, seed {failed.seed}: {failed.failure.message} "
            f"(traceback: {failed.path})"
        )


def show_pilot(console: Console, context: StudyContext, summary: StudySummary) -> None:
    """Print how a search or a tuning stopped."""
    console.print(pilot_ending(context.resolved, summary))
    show_repeats(console, summary)
    show_unpublished(console, summary, grid=context.grid.name)
    for failed in summary.failures:
        console.print(f"failed: {failed.arm}: {failed.failure.message} (traceback: {failed.path})")


def show_unpublished(console: Console, summary: StudySummary, *, grid: str) -> None:
    """Print what MLflow lacks and how it gets it."""
    if not summary.unpublished.why:
        return
    # To be pasted into a shell, whatever the grid is called.
    word = shlex.quote(grid)
    console.print(
        f"note: {summary.unpublished.n_attempts} trials are kept in the study's journal and are "
        f"not whole in MLflow yet ({summary.unpublished.why}), so the report may lack them; "
        f"publish them with: ablate sync {word} && ablate report {word}"
    )


def show_repeats(console: Console, summary: StudySummary) -> None:
    """Print how often a trial was tried again and why, and what Optuna lacks."""
    if summary.n_retries:
        reasons = [f"{reason} ({count})" for reason, count in summary.retried.items()]
        console.print(
            f"repeats: {summary.n_retries} attempts tried a trial again, after {', '.join(reasons)}"
        )
    # Not a failure of the study: only a dashboard of Optuna's shows less than there is.
    if summary.optuna_problem:
        console.print(
            f"note: Optuna's storage lags behind the study ({summary.optuna_problem}); "
            "the next call catches it up"
        )
