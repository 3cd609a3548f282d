"""The table of arms, one column per axis: of the first screen, and whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ablate.quoting import text
from ablate.reporting.evidence.arm_names import level_differences
from ablate.reporting.evidence.frames import arm_levels
from ablate.reporting.results import NOT_MEASURED, Results, prose
from ablate.reporting.text.markdown import (
    compact,
    count_or,
    interval_in_points,
    points,
    table,
)
from ablate.study.record import ArmRecord

_DOES_NOT_MATTER = "–"
BEST = "★"
BASELINE = "◆"


Columns = Mapping[str, Callable[[str], str]]
"""Heading -> what an arm, given by its arm_id, has in that column."""


def arm_rows(results: Results, arm_ids: Sequence[str], columns: Columns) -> str:
    """The table of `arm_ids` in their order, with `columns` after the axes; see `legend`."""
    axes = varied_axes(results)
    header = ["#", *map(text, axes), *columns, "to baseline (interval)", "trained", "train s"]
    ranks = {arm_id: rank for rank, arm_id in enumerate(results.arms["arm_id"], start=1)}
    arms = {arm.arm_id: arm for arm in results.record.arms}
    changes = level_differences(results.record)
    rows = []
    for arm_id in arm_ids:
        arm = arms[arm_id]
        rows.append(
            [
                _place(results, arm, ranks[arm_id]),
                *_levels(results, arm, axes, set(changes.get(arm_id, ()))),
                *[cell(arm_id) for cell in columns.values()],
                _to_baseline(results, arm),
                compact(results.number(arm_id, "cost/n_trainable/mean")),
                count_or(results.number(arm_id, "time/train_s/mean"), 1),
            ]
        )
    return table(header, rows, n_text_columns=1 + len(axes))


def legend(results: Results) -> str:
    """How the table is to be read."""
    how = (
        f"{BEST} best on val, {BASELINE} baseline; **bold** levels differ from the baseline's. "
        f"Mean ± SD over seeds; differences in points of {prose(results.effects.primary)}, "
        "bold where the interval excludes 0."
    )
    varied = varied_axes(results)
    levels = arm_levels(results.record, results.record.arms[0])
    constant = [f"{axis}={level}" for axis, level in levels.items() if axis not in varied]
    if constant:
        how += f" In all arms: {text(' '.join(constant))}."
    return how


def varied_axes(results: Results) -> list[str]:
    """The axes in which any two arms differ."""
    by_arm = [arm_levels(results.record, arm) for arm in results.record.arms]
    axes = []
    for axis in results.record.axes:
        if len({levels[axis] for levels in by_arm}) > 1:
            axes.append(axis)
    return axes


def _place(results: Results, arm: ArmRecord, rank: int) -> str:
    marks = ""
    if results.champion is not None and results.champion.arm_id == arm.arm_id:
        marks += f" {BEST}"
    if arm.arm_id == results.record.baseline_arm_id:
        marks += f" {BASELINE}"
    return f"[{rank}](cards/{results.slugs[arm.arm_id]}.md){marks}"


def _levels(results: Results, arm: ArmRecord, axes: Sequence[str], changed: set[str]) -> list[str]:
    levels = arm_levels(results.record, arm)
    cells = []
    for axis in axes:
        level = levels[axis]
        if axis in changed:
            cells.append(f"**{text(level)}**")
        elif len({str(cell.get(axis)) for cell in arm.cells}) > 1:
            # a merged arm: the axis cannot matter for it
            cells.append(_DOES_NOT_MATTER)
        else:
            cells.append(text(level))
    return cells


def _to_baseline(results: Results, arm: ArmRecord) -> str:
    if arm.arm_id == results.record.baseline_arm_id:
        return "0"
    gap = results.gap_to_baseline(arm.arm_id)
    if gap is None:
        return NOT_MEASURED
    difference = points(gap.difference)
    if gap.judged.excludes_zero:
        difference = f"**{difference}**"
    interval = interval_in_points(gap.judged.low, gap.judged.high)
    return f"{difference} ({interval})" if interval else difference
