"""The table of arms, one column per axis: of the first screen, and whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ablate.grid.arm_names import level_word
from ablate.quoting import code, text
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
from ablate.reporting.text.split_sentences import seeds_in_words
from ablate.study.record import ArmRecord

# another dash than the hyphen, which could be a level
_DOES_NOT_MATTER = "–"
_N_DIGITS = 4
"""Of what a search proposed, as in the names of its arms."""
# signs instead of words, for a column that has no room; `legend` explains them
BEST = "★"
BASELINE = "◆"
Columns = Mapping[str, Callable[[str], str]]
"""Heading -> what an arm, given by its arm_id, has in that column."""


def arm_rows(results: Results, arm_ids: Sequence[str], columns: Columns) -> str:
    """The table of `arm_ids` in their order, with `columns` after the axes; see `legend`."""
    axes = varied_axes(results, arm_ids)
    has_baseline = results.baseline is not None
    header = ["#", *map(_heading, axes), *columns]
    if has_baseline:
        header.append("to baseline (interval)")
    header += ["trained", "train s"]
    # among all arms: a table of some of them, as on the first screen, has gaps in its numbers
    ranks = {arm_id: rank for rank, arm_id in enumerate(results.arms["arm_id"], start=1)}
    changes = level_differences(results.record)
    rows = []
    for arm_id in arm_ids:
        arm = results.arm_of_id[arm_id]
        row = [_place(results, arm, ranks[arm_id])]
        row += _levels(results, arm, axes, set(changes.get(arm_id, ())))
        for cell in columns.values():
            row.append(cell(arm_id))
        if has_baseline:
            row.append(_to_baseline(results, arm))
        row.append(compact(results.number(arm_id, "cost/n_trainable/mean")))
        row.append(count_or(results.number(arm_id, "time/train_s/mean"), 1))
        rows.append(row)
    return table(header, rows, n_text_columns=1 + len(axes))


def _heading(axis: str) -> str:
    """The axis as words: a narrow column can break them, and no table of a README is cut off."""
    return text(axis.replace("_", " "))


def legend(results: Results, arm_ids: Sequence[str]) -> str:
    """How the table of `arm_ids` is to be read."""
    seeds = seeds_in_words(results.record.data)
    how = f"{BEST} best on val. Mean ± SD over {seeds}."
    if results.baseline is not None:
        how = (
            f"{BEST} best on val, {BASELINE} baseline; **bold** levels differ from the baseline's. "
            f"Mean ± SD over {seeds}; differences in points of {prose(results.effects.primary)}, "
            "bold where the interval excludes 0."
        )
    varied = varied_axes(results, arm_ids)
    # a column with one level would only take room: it is said once, below
    constant = []
    for axis, level in _levels_of(results, arm_ids)[0].items():
        if axis not in varied:
            constant.append(f"{axis}={level}")
    if constant:
        how += f" In all of these: {code(' '.join(constant))}."
    return how


def _levels_of(results: Results, arm_ids: Sequence[str]) -> list[dict[str, str]]:
    wanted = set(arm_ids)
    levels = []
    for arm in results.record.arms:
        if arm.arm_id in wanted:
            levels.append(_own_levels(results, arm))
    return levels


def _own_levels(results: Results, arm: ArmRecord) -> dict[str, str]:
    """Axis -> the arm's level as text."""
    if results.record.axes:
        return arm_levels(results.record, arm)
    # a search has ranges and no axes; what it proposed is the arm's first cell
    levels = {}
    for axis, level in arm.cells[0].items():
        levels[axis] = level_word(level, _N_DIGITS)
    return levels


def varied_axes(results: Results, arm_ids: Sequence[str]) -> list[str]:
    """The axes in which any two of `arm_ids` differ."""
    by_arm = _levels_of(results, arm_ids)
    # some levels of a search ask for fields that others have not
    axes: dict[str, None] = {}
    for levels_of_arm in by_arm:
        axes |= dict.fromkeys(levels_of_arm)
    varied = []
    for axis in axes:
        levels = {levels_of_arm.get(axis) for levels_of_arm in by_arm}
        if len(levels) > 1:
            varied.append(axis)
    return varied


def _place(results: Results, arm: ArmRecord, rank: int) -> str:
    marks = ""
    if results.champion is not None and results.champion.arm_id == arm.arm_id:
        marks += f" {BEST}"
    if arm.arm_id == results.record.baseline_arm_id:
        marks += f" {BASELINE}"
    # relative, so that it leads somewhere wherever the folder lies
    return f"[{rank}](cards/{results.slugs[arm.arm_id]}.md){marks}"


def _levels(results: Results, arm: ArmRecord, axes: Sequence[str], changed: set[str]) -> list[str]:
    levels = _own_levels(results, arm)
    cells = []
    for axis in axes:
        level = levels.get(axis, _DOES_NOT_MATTER)
        if axis in changed:
            # the only emphasis that GitHub has; the page makes the other levels grey
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
    # as in the sentences: bold is what is sure
    if gap.judged.excludes_zero:
        difference = f"**{difference}**"
    interval = interval_in_points(gap.judged.low, gap.judged.high)
    # one seed: a difference without an interval
    if not interval:
        return difference
    return f"{difference} ({interval})"
