"""The report on cells of the grid that were merged or not trained."""

from __future__ import annotations

from collections import defaultdict

from ablate.errors import plural
from ablate.quoting import code, text
from ablate.recipe.levels import level_text
from ablate.reporting.results import Results, ShowFigure
from ablate.reporting.text.layout import folded_list
from ablate.reporting.text.markdown import bullets, join_sections, table
from ablate.study.record import ArmRecord, ExcludedCell

_WHY_MERGED = (
    "These cells differ only in fields without effect on them, so each group was trained once and "
    "counts under each of its names."
)


def merged_section(results: Results, _show: ShowFigure) -> str:
    """Arms that stand for several cells; empty where there is none."""
    rows = []
    for arm in results.record.arms:
        if len(arm.cells) > 1:
            name = code(results.name(arm.arm_id))
            rows.append([name, str(len(arm.cells)), _differing_levels(arm)])
    if not rows:
        return ""
    listed = table(["arm", "cells", "which"], rows, n_text_columns=3)
    return join_sections(["## Merged cells", _WHY_MERGED, listed]).rstrip()


def _differing_levels(arm: ArmRecord) -> str:
    """The levels in which the arm's cells differ."""
    differing = []
    # as text, as everywhere where levels are compared: a list cannot be in a set
    # all cells of an arm have the same axes
    for axis in arm.cells[0]:
        levels = {level_text(cell[axis]) for cell in arm.cells}
        if len(levels) > 1:
            differing.append(axis)
    cells = []
    for cell in arm.cells:
        words = [f"{axis}={level_text(cell[axis])}" for axis in differing]
        cells.append(code(" ".join(words)))
    return "; ".join(cells)


def excluded_section(results: Results, _show: ShowFigure) -> str:
    """Cells that were not trained, by reason; empty where there is none."""
    by_reason: dict[str, list[ExcludedCell]] = defaultdict(list)
    for excluded in results.record.excluded:
        by_reason[excluded.why].append(excluded)
    if not by_reason:
        return ""
    reasons = []
    lists = []
    # reasons in sight, cells folded: one `exclude` may take away hundreds
    for why, cells in by_reason.items():
        reasons.append(f"{text(why)} ({plural(len(cells), 'cell')})")
        names = map(code, map(_cell_text, cells))
        lists.append(f"{text(why)}: {', '.join(names)}")
    listed = folded_list(len(results.record.excluded), "excluded cell", bullets(lists))
    return join_sections(["## Excluded cells", bullets(reasons), listed]).rstrip()


def _cell_text(excluded: ExcludedCell) -> str:
    return " ".join(f"{axis}={level_text(level)}" for axis, level in excluded.cell.items())
