"""What a study lets us compare: cells that differ in one axis (main effects) or in two.

Merged arms stand in every cell that they answer, excluded cells make no pair, so no level profits
from the company that it was tried in. Cells answered by the same arm on both sides (the axis cannot
matter there) make no pair either.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.evidence.tables import level_text
from ablate.reporting.statistics.contrast import Contrast
from ablate.study.record import StudyRecord

Cell = tuple[str, ...]
_PAIR = (1, -1)
_SQUARE = (1, -1, -1, 1)


@dataclass(frozen=True)
class Comparison:
    """Levels of one axis, or of two, against other levels: the baseline's where that is possible."""

    axes: tuple[str, ...]
    levels: tuple[str, ...]
    against: tuple[str, ...]
    contrast: Contrast
    """Matched cells as places of arms in the record: (level, baseline's level) for a main effect,
    (both, first alone, second alone, neither) for an interaction."""
    n_same_arm: int
    """Matched cells left out because one arm answers several of them: the axis cannot matter there."""

    @property
    def is_interaction(self) -> bool:
        return len(self.axes) == 2

    @property
    def name(self) -> str:
        """`augment=light`, or `augment=light x lora_rank=8`."""
        named = zip(self.axes, self.levels, strict=True)
        return " x ".join(f"{axis}={level}" for axis, level in named)


def main_comparisons(record: StudyRecord, *, scored: Container[str]) -> tuple[Comparison, ...]:
    """Every level but the baseline's, axis by axis.

    Between arms in `scored` (arm_ids with a complete trial).
    """
    comparisons = []
    for axis in record.axes:
        against = {axis: baseline_level(record, axis)}
        for level in other_levels(record, axis):
            comparisons.append(_comparison(record, {axis: level}, scored=scored, against=against))
    return tuple(comparisons)


def interactions(record: StudyRecord, *, scored: Container[str]) -> tuple[Comparison, ...]:
    """Every two axes and every two of their levels, where there are cells to compare.

    Against the baseline's levels; where an axis cannot matter beside those, against the first levels
    beside which it can.
    """
    comparisons: list[Comparison] = []
    for pair in itertools.combinations(record.axes, 2):
        comparisons += _interactions_of(record, pair, scored=scored)
    return tuple(comparisons)


def _interactions_of(
    record: StudyRecord, axes: tuple[str, str], *, scored: Container[str]
) -> list[Comparison]:
    orders = [[baseline_level(record, axis), *other_levels(record, axis)] for axis in axes]
    for against in itertools.product(*orders):
        references = dict(zip(axes, against, strict=True))
        others = []
        for order, reference in zip(orders, against, strict=True):
            others.append([level for level in order if level != reference])
        comparisons = []
        for levels in itertools.product(*others):
            changes = dict(zip(axes, levels, strict=True))
            comparison = _comparison(record, changes, scored=scored, against=references)
            if comparison.contrast.cells:
                comparisons.append(comparison)
        if comparisons:
            return comparisons
    return []


def other_levels(record: StudyRecord, axis: str) -> list[str]:
    """The axis's levels but the baseline's, in the order of the grid."""
    against = baseline_level(record, axis)
    return [text for text in map(level_text, record.axes[axis]) if text != against]


def arm_of_cell(record: StudyRecord) -> dict[Cell, str]:
    """Return levels (as text, in the order of the axes) -> arm_id, for every answered cell."""
    arms: dict[Cell, str] = {}
    for arm in record.arms:
        for cell in arm.cells:
            if set(record.axes) <= set(cell):
                arms[tuple(level_text(cell[axis]) for axis in record.axes)] = arm.arm_id
    return arms


def baseline_level(record: StudyRecord, axis: str) -> str:
    """The baseline arm's level of `axis`; the first level where there is no baseline.

    Where the baseline answers several cells, the first of them speaks.
    """
    level: Any = record.axes[axis][0]
    for arm in record.arms:
        if arm.arm_id == record.baseline_arm_id:
            levels = [cell[axis] for cell in arm.cells if axis in cell]
            level = levels[0] if levels else level
    return level_text(level)


def axis_columns(record: StudyRecord) -> dict[str, NDArray[np.float64]]:
    """Axis -> (arms, levels): the share of the arm's cells at each level.

    Axes of one level are left out.
    """
    columns = {}
    for axis, levels in record.axes.items():
        order = list(map(level_text, levels))
        if len(order) < 2:
            continue
        shares = np.zeros((len(record.arms), len(order)))
        for place, arm in enumerate(record.arms):
            counts = Counter(level_text(cell[axis]) for cell in arm.cells if axis in cell)
            for column, level in enumerate(order):
                shares[place, column] = counts[level] / max(counts.total(), 1)
        columns[axis] = shares
    return columns


def _comparison(
    record: StudyRecord,
    changes: Mapping[str, str],
    *,
    scored: Container[str],
    against: Mapping[str, str],
) -> Comparison:
    places = {arm.arm_id: place for place, arm in enumerate(record.arms)}
    cells = []
    n_same_arm = 0
    for corners in _matched(record, changes, against=against):
        if len(set(corners)) < len(corners):
            n_same_arm += 1
        elif all(arm in scored for arm in corners):
            cells.append(tuple(places[arm] for arm in corners))
    return Comparison(
        axes=tuple(changes),
        levels=tuple(changes.values()),
        against=tuple(against[axis] for axis in changes),
        contrast=Contrast(tuple(cells), _SQUARE if len(changes) == 2 else _PAIR),
        n_same_arm=n_same_arm,
    )


def _matched(
    record: StudyRecord, changes: Mapping[str, str], *, against: Mapping[str, str]
) -> Iterator[tuple[str, ...]]:
    """The arms of matched cells, in the order of `Comparison.contrast`."""
    arms = arm_of_cell(record)
    choices = [(level, against[axis]) for axis, level in changes.items()]
    for cell in arms:
        named = dict(zip(record.axes, cell, strict=True))
        if any(named[axis] != level for axis, level in changes.items()):
            continue
        corners = []
        for levels in itertools.product(*choices):
            corner = {**named, **dict(zip(changes, levels, strict=True))}
            corners.append(tuple(corner.values()))
        if all(corner in arms for corner in corners):
            yield tuple(arms[corner] for corner in corners)
