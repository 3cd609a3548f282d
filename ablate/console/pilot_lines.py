"""What the command line says of a search or a tuning: before it starts, and when it ended."""

from __future__ import annotations

from ablate.grid.pilot_arms import space_words
from ablate.scheduling.summary import StudySummary
from ablate.workflow.prepare.prepared import Resolved

TITLES = {"search": "search", "tune": "tuning"}


def pilot_kind(resolved: Resolved) -> str:
    """`search` or `tuning`."""
    assert resolved.pilot is not None
    assert resolved.pilot.record.stage is not None
    return TITLES[resolved.pilot.record.stage.kind]


def pilot_line(resolved: Resolved) -> str:
    """What comes before the study, in one line."""
    assert resolved.pilot is not None
    grid, n_seeds = resolved.grid, len(resolved.record.seeds)
    search = grid.search
    if search is None:
        assert resolved.pilot.tuning is not None
        n_trials = len(resolved.pilot.tuning)
        return f"tuning: {', '.join(grid.tune)} of every arm on val, {n_trials} trials with pilot seed {grid.pilot_seed}; they enter no conclusion"
    ends = "" if search.pruner == "none" else f", pruner {search.pruner}"
    return (
        f"search: {search.n_trials} trials with pilot seed {grid.pilot_seed}, sampler {search.sampler}{ends}; "
        f"then the best {search.confirm} arms with {n_seeds} seeds: {search.confirm * n_seeds} trials, which alone enter conclusions"
    )


def pilot_tables(resolved: Resolved) -> list[tuple[list[dict[str, object]], str]]:
    """What is searched or tuned, as tables with titles."""
    rows: list[dict[str, object]] = [
        {"field": name, "values": words} for name, words in space_words(resolved.grid).items()
    ]
    return [(rows, "Searched" if resolved.grid.search is not None else "Tuned for every arm")]


def pilot_ending(resolved: Resolved, summary: StudySummary) -> str:
    """How a pilot stands after a call, and what follows."""
    kind = pilot_kind(resolved)
    pruned = f", {summary.n_pruned} pruned" if summary.n_pruned else ""
    told = f"{kind}: {summary.n_complete} completed now, {summary.n_reused} before{pruned}, {summary.n_failed} failed"
    return (
        f"{told}, {summary.n_left} left for the next call; arms are compared once it is over"
        if summary.n_left
        else told
    )


def nothing_chosen(resolved: Resolved) -> str:
    """Said where no trial of a pilot completed, or none with a score that is a number."""
    search = resolved.grid.search
    scores = " and ".join(
        (search.objectives if search is not None else ()) or (resolved.grid.select_by,)
    )
    return f"{pilot_kind(resolved)}: no trial completed with a finite {scores}, so no arm could be chosen; ablate status shows what failed and why"
