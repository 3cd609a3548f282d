"""The report's table of arms."""

from __future__ import annotations

from ablate.reporting.pages.sections.arm_rows import arm_rows, legend
from ablate.reporting.results import Results, ShowFigure, prose, shown_scores
from ablate.reporting.text.markdown import join_sections


def arms_section(results: Results, show: ShowFigure) -> str:
    """Every arm with its scores and what it trains, the best first."""
    note = (
        f"Sorted by {prose(results.record.select_by)}, the only score used to choose. "
        f"{legend(results)} Times depend on the machine."
    )
    listed = arm_rows(results, list(results.arms["arm_id"]), shown_scores(results.record))
    return join_sections(["## Arms", note, listed, show("arms")]).rstrip()
