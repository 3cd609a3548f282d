"""A search or a tuning in words: before it starts, and when it ended."""

from __future__ import annotations

from ablate.console.tables import Rows
from ablate.grid.pilot_arms import space_words
from ablate.scheduling.summary import StudySummary
from ablate.workflow.prepare.resolved import Resolved

# `PilotKind` -> what a reader calls it.
TITLES = {"search": "search", "tune": "tuning"}


def pilot_kind(resolved: Resolved) -> str:
    """`search` or `tuning`."""
    assert resolved.pilot is not None
    assert resolved.pilot.record.stage is not None
    return TITLES[resolved.pilot.record.stage.kind]


def pilot_line(resolved: Resolved) -> str:
    """What comes before the study, in one line."""
    assert resolved.pilot is not None
    grid = resolved.grid
    search = grid.search
    if search is None:
        assert resolved.pilot.tuning is not None
        # Its trials are known beforehand; those of a search are not.
        n_trials = len(resolved.pilot.tuning)
        return (
            f"tuning: {', '.join(grid.tune)} of every arm on val, {n_trials} trials with pilot "
            f"seed {grid.pilot_seed}; they enter no conclusion"
        )
    n_seeds = len(resolved.record.seeds)
    pruner = ""
    if search.pruner != "none":
        pruner = f", pruner {search.pruner}"
    return (
        f"search: {search.n_trials} trials with pilot seed {grid.pilot_seed}, "
        f"sampler {search.sampler}{pruner}; then the best {search.confirm} arms with "
        f"{n_seeds} seeds: {search.confirm * n_seeds} trials, which alone enter conclusions"
    )


def pilot_table(resolved: Resolved) -> tuple[Rows, str]:
    """What is searched or tuned, as a table with its title."""
    rows = []
    for name, words in space_words(resolved.grid).items():
        rows.append({"field": name, "values": words})
    if resolved.grid.search is not None:
        return rows, "Searched"
    return rows, "Tuned for every arm"


def pilot_ending(resolved: Resolved, summary: StudySummary) -> str:
    """How a pilot stands after a call, and what follows."""
    # Only a search prunes; a tuning leaves the words out.
    pruned = ""
    if summary.n_pruned:
        pruned = f", {summary.n_pruned} pruned"
    counts = (
        f"{pilot_kind(resolved)}: {summary.n_complete} completed now, "
        f"{summary.n_reused} before{pruned}, {summary.n_failed} failed"
    )
    if not summary.n_left:
        return counts
    return f"{counts}, {summary.n_left} left for the next call; arms are compared once it is over"


def nothing_chosen(resolved: Resolved) -> str:
    """That no trial of a pilot completed, or none with a score that is a number."""
    search = resolved.grid.search
    objectives: tuple[str, ...] = (resolved.grid.select_by,)
    # A search that names no objectives goes by select_by, as a tuning does.
    if search is not None and search.objectives:
        objectives = search.objectives
    scores = " and ".join(objectives)
    return (
        f"{pilot_kind(resolved)}: no trial completed with a finite {scores}, so no arm could be "
        "chosen; ablate status shows what failed and why"
    )
