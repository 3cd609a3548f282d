"""The report's table of arms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ablate.reporting.pages.sections.arm_rows import arm_rows, legend
from ablate.reporting.results import Results, ShowFigure, prose, shown_scores
from ablate.reporting.text import conclusions
from ablate.reporting.text.markdown import join_sections


def arms_section(results: Results, show: ShowFigure) -> str:
    """Every arm with its scores and what it trains, the best first."""
    arm_ids = list(results.arms["arm_id"])
    note = (
        f"Sorted by {prose(results.record.select_by)}, the only score used to choose. "
        f"{legend(results, arm_ids)} Times depend on the machine."
    )
    # partial, not a closure in a loop, which would bind the last metric to all columns
    columns: dict[str, Callable[[str], str]] = {"seeds": partial(_seeds, results)}
    for metric in shown_scores(results.record):
        columns[prose(metric)] = partial(_score, results, metric)
    listed = arm_rows(results, arm_ids, columns)
    return join_sections(["## Arms", note, listed, show("arms")]).rstrip()


def _score(results: Results, metric: str, arm_id: str) -> str:
    return conclusions.metric_cell(results, arm_id, metric)


def _seeds(results: Results, arm_id: str) -> str:
    """Complete of planned."""
    n_complete = int(results.number(arm_id, "n_seeds"))
    return f"{n_complete} of {int(results.number(arm_id, 'n_trials'))}"
