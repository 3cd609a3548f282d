"""Which arms a study lets us compare.

Cells that differ in one axis (main effects) or in two (interactions), gathered into independent
blocks of arms.

Merged arms stand in every cell that they answer, excluded cells make no pair, so no level profits
from the company it was tried in. Cells answered by the same arm on both sides (the axis cannot
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

from ablate.reporting.evidence.frames import level_text
from ablate.reporting.statistics.contrast import Block
from ablate.study.record import StudyRecord

Cell = tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Levels of one axis, or of two, against other levels.

    The baseline's where they can be compared.
    """

    axes: tuple[str, ...]
    levels: tuple[str, ...]
    against: tuple[str, ...]
    sides: tuple[tuple[int, ...], ...]
    """Matched cells as places of arms in the record: (level, baseline's level), or (both, first
    alone, second alone, neither)."""
    blocks: tuple[Block, ...]
    """The same, joined where they share an arm."""
    n_same_arm: int
    """Matched cells left out because one arm answers several of them: the axis cannot matter
    there."""

    @property
    def is_interaction(self) -> bool:
        return len(self.axes) == 2

    @property
    def name(self) -> str:
        """`augment=light`, or `augment=light x lora_rank=8`."""
        return " x ".join(
            f"{axis}={level}" for axis, level in zip(self.axes, self.levels, strict=True)
        )

    @property
    def signs(self) -> tuple[int, ...]:
        """The contrast of one matched cell."""
        return (1, -1, -1, 1) if self.is_interaction else (1, -1)


def main_comparisons(record: StudyRecord, *, scored: Container[str]) -> tuple[Comparison, ...]:
    """Every level but the baseline's, axis by axis, between arms in `scored`.

    Those are the arm_ids with a complete trial.
    """
    return tuple(
        _comparison(
            record, {axis: level}, scored=scored, against={axis: baseline_level(record, axis)}
        )
        for axis in record.axes
        for level in other_levels(record, axis)
    )


def interactions(record: StudyRecord, *, scored: Container[str]) -> tuple[Comparison, ...]:
    """Every two axes and every two of their levels, where there are cells to compare.

    Against the baseline's levels; where an axis cannot matter beside those, against the first
    levels beside which it can.
    """
    return tuple(
        comparison
        for pair in itertools.combinations(record.axes, 2)
        for comparison in _interactions_of(record, pair, scored=scored)
    )


def _interactions_of(
    record: StudyRecord, axes: tuple[str, str], *, scored: Container[str]
) -> list[Comparison]:
    orders = [[baseline_level(record, axis), *other_levels(record, axis)] for axis in axes]
    for against in itertools.product(*orders):
        changes = [
            tuple(level for level in order if level != reference)
            for order, reference in zip(orders, against, strict=True)
        ]
        levels = [dict(zip(axes, pair, strict=True)) for pair in itertools.product(*changes)]
        found = [
            _comparison(record, own, scored=scored, against=dict(zip(axes, against, strict=True)))
            for own in levels
        ]
        if any(comparison.blocks for comparison in found):
            return [comparison for comparison in found if comparison.blocks]
    return []


def other_levels(record: StudyRecord, axis: str) -> list[str]:
    """The axis's levels but the baseline's, in the order of the grid."""
    against = baseline_level(record, axis)
    return [text for text in map(level_text, record.axes[axis]) if text != against]


def arm_of_cell(record: StudyRecord) -> dict[Cell, str]:
    """Return levels -> arm_id, for every cell that an arm answers.

    Levels are text, in the order of the axes.
    """
    return {
        tuple(level_text(cell[axis]) for axis in record.axes): arm.arm_id
        for arm in record.arms
        for cell in arm.cells
        if set(record.axes) <= set(cell)
    }


def baseline_level(record: StudyRecord, axis: str) -> str:
    """The baseline arm's level of `axis`; without a baseline, the first level.

    Where the arm answers several cells, the first of them counts.
    """
    cells = [
        cell
        for arm in record.arms
        if arm.arm_id == record.baseline_arm_id
        for cell in arm.cells
        if axis in cell
    ]
    level: Any = cells[0][axis] if cells else record.axes[axis][0]
    return level_text(level)


def axis_columns(record: StudyRecord) -> dict[str, NDArray[np.float64]]:
    """Axis -> (arms, levels): the share of the arm's cells at each level.

    Axes of one level are left out.
    """
    columns = {}
    for axis, levels in record.axes.items():
        order = list(map(level_text, levels))
        if len(order) > 1:
            counts = [
                Counter(level_text(cell[axis]) for cell in arm.cells if axis in cell)
                for arm in record.arms
            ]
            columns[axis] = np.array(
                [[count[level] / max(count.total(), 1) for level in order] for count in counts]
            )
    return columns


def _comparison(
    record: StudyRecord,
    changes: Mapping[str, str],
    *,
    scored: Container[str],
    against: Mapping[str, str],
) -> Comparison:
    places = {arm.arm_id: place for place, arm in enumerate(record.arms)}
    sides = list(_matched(record, changes, against=against))
    kept = [
        side for side in sides if len(set(side)) == len(side) and all(arm in scored for arm in side)
    ]
    return Comparison(
        axes=tuple(changes),
        levels=tuple(changes.values()),
        against=tuple(against[axis] for axis in changes),
        sides=tuple(tuple(places[arm] for arm in side) for side in kept),
        blocks=_blocks([tuple(places[arm] for arm in side) for side in kept]),
        n_same_arm=sum(len(set(side)) < len(side) for side in sides),
    )


def _matched(
    record: StudyRecord, changes: Mapping[str, str], *, against: Mapping[str, str]
) -> Iterator[tuple[str, ...]]:
    """The arms of matched cells, in the order of `Comparison.sides`."""
    arms, axes = arm_of_cell(record), list(record.axes)
    for cell in arms:
        named = dict(zip(axes, cell, strict=True))
        if any(named[axis] != level for axis, level in changes.items()):
            continue
        corners = [
            tuple({**named, **dict(zip(changes, picked, strict=True))}.values())
            for picked in itertools.product(
                *((level, against[axis]) for axis, level in changes.items())
            )
        ]
        if all(corner in arms for corner in corners):
            yield tuple(arms[corner] for corner in corners)


def _blocks(sides: list[tuple[int, ...]]) -> tuple[Block, ...]:
    """Join matched cells that share an arm. The signs of a pair are + -, of a square + - - +."""
    groups: list[tuple[set[int], list[tuple[int, ...]]]] = []
    for side in sides:
        touching = [group for group in groups if group[0] & set(side)]
        merged = (
            {*side}.union(*(group[0] for group in touching)),
            [*itertools.chain.from_iterable(group[1] for group in touching), side],
        )
        groups = [group for group in groups if group not in touching] + [merged]
    return tuple(_block(own) for _, own in groups)


def _block(sides: list[tuple[int, ...]]) -> Block:
    signs = (1, -1) if len(sides[0]) == 2 else (1, -1, -1, 1)
    weights: Counter[int] = Counter()
    for side in sides:
        for arm, sign in zip(side, signs, strict=True):
            weights[arm] += sign
    return Block(
        arms=tuple(sorted(weights)),
        weights=tuple(float(weights[arm]) for arm in sorted(weights)),
        n_cells=len(sides),
    )
