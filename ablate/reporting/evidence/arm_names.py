"""What arms are called in a report: by what differs from the baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ablate.recipe.levels import level_text
from ablate.study.record import ArmRecord, StudyRecord

BASELINE = "baseline"


def difference_names(record: StudyRecord) -> dict[str, str]:
    """Return arm_id -> e.g. `freeze_depth=0 augment=strong`; `baseline` for the baseline.

    Unique within the study. An arm keeps its whole name where the grid has no baseline, and where
    the difference names two arms.
    """
    differences = level_differences(record)
    names = {}
    for arm in record.arms:
        changes = differences.get(arm.arm_id)
        if arm.arm_id == record.baseline_arm_id:
            names[arm.arm_id] = BASELINE
        elif changes:
            names[arm.arm_id] = " ".join(f"{axis}={level}" for axis, level in changes.items())
        else:
            names[arm.arm_id] = arm.name
    # merged cells may leave two arms with the same difference: both get their whole names then
    counts = Counter(names.values())
    for arm in record.arms:
        if counts[names[arm.arm_id]] > 1 and arm.arm_id != record.baseline_arm_id:
            names[arm.arm_id] = arm.name
    return names


def level_differences(record: StudyRecord) -> dict[str, dict[str, str]]:
    """Return arm_id -> axis -> level, of the axes in which it differs from the baseline.

    An arm that answers several cells is taken at the cell that is nearest to the baseline's first,
    so an axis that cannot matter for it is no difference. Empty without a baseline.
    """
    cells = {arm.arm_id: _cells(record, arm) for arm in record.arms}
    of_baseline = cells.get(record.baseline_arm_id, [])
    if not of_baseline:
        return {}
    # one cell of the baseline is the reference for all, so that differences can be compared
    base = of_baseline[0]
    found = {}
    for arm_id, cells_of_arm in cells.items():
        changes = [_changes(cell, base) for cell in cells_of_arm]
        # min keeps the first of the nearest, in the order of the grid
        found[arm_id] = min(changes, key=len, default={})
    return found


def _cells(record: StudyRecord, arm: ArmRecord) -> list[dict[str, str]]:
    """The arm's cells, levels as text."""
    cells = []
    for cell in arm.cells:
        levels = {}
        for axis in record.axes:
            # a search leaves out the axes that its conditions switch off
            if axis in cell:
                levels[axis] = level_text(cell[axis])
        cells.append(levels)
    return cells


def _changes(cell: Mapping[str, str], base: Mapping[str, str]) -> dict[str, str]:
    changes = {}
    for axis, level in cell.items():
        if base.get(axis) != level:
            changes[axis] = level
    return changes
