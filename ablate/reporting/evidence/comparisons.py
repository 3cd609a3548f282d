"""What a study lets us compare: declared questions, main effects of levels, interactions of two.

All are between cells that agree in every axis but those that are compared.

Merged arms stand in every cell that they answer, excluded cells make no pair, so no level profits
from the company it was tried in. Cells answered by the same arm on both sides (the axis cannot
matter there) make no pair either.
"""

from __future__ import annotations

import itertools
import operator
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ablate.recipe.levels import level_text
from ablate.reporting.statistics.contrast import Contrast
from ablate.study.arm_record import arm_places
from ablate.study.record import StudyRecord

Cell = tuple[str, ...]
"""A level of each axis, as text, in the order of the record's axes."""
Kind = Literal["question", "main effect", "interaction"]
_PAIR = (1, -1)
"""Signs of (level, other level)."""
_SQUARE = (1, -1, -1, 1)
"""Signs of (both levels, first alone, second alone, neither): a difference of differences."""


@dataclass(frozen=True)
class Comparison:
    """Levels of one axis, or of two, against others: the baseline's, where that is possible."""

    axes: tuple[str, ...]
    levels: tuple[str, ...]
    against: tuple[str, ...]
    contrast: Contrast
    """Matched cells as places of arms in the record: (level, baseline's level) for a main effect,
    (both, first alone, second alone, neither) for an interaction."""
    n_same_arm: int
    """Matched cells left out because one arm answers several of them: the axis cannot matter
    there."""
    asked: str = ""
    """The question that it answers, in the user's words; empty where nobody declared one."""

    @property
    def kind(self) -> Kind:
        if self.asked:
            return "question"
        if len(self.axes) == 2:
            return "interaction"
        return "main effect"

    @property
    def is_interaction(self) -> bool:
        return self.kind == "interaction"

    @property
    def name(self) -> str:
        """The question, `augment=light`, or `augment=light x lora_rank=8`."""
        if self.asked:
            return self.asked
        named = zip(self.axes, self.levels, strict=True)
        return " x ".join(f"{axis}={level}" for axis, level in named)


def contrasts_of(comparisons: Iterable[Comparison]) -> list[Contrast]:
    """The contrast of each, for the estimates of a family."""
    return [comparison.contrast for comparison in comparisons]


def questions(record: StudyRecord, *, scored: Container[str]) -> tuple[Comparison, ...]:
    """The comparisons that the grid declares, in its order, between arms in `scored`."""
    cells = _Cells.of(record, scored)
    comparisons = []
    for question in record.questions:
        levels = _as_text(question.levels)
        against = _as_text(question.against)
        contrast, n_same_arm = cells.contrast([levels, against], _PAIR)
        axes = question.changed
        comparison = Comparison(
            axes=axes,
            levels=tuple(levels[axis] for axis in axes),
            against=tuple(against[axis] for axis in axes),
            contrast=contrast,
            n_same_arm=n_same_arm,
            asked=question.name,
        )
        comparisons.append(comparison)
    return tuple(comparisons)


def _as_text(levels: Mapping[str, Any]) -> dict[str, str]:
    return {axis: level_text(level) for axis, level in levels.items()}


def same_cells(comparison: Comparison, other: Comparison) -> int:
    """Return 1 where two comparisons of pairs are one, -1 where the sides are exchanged, else 0."""
    cells = sorted(comparison.contrast.cells)
    # without cells all comparisons would be one
    if not cells or len(comparison.contrast.signs) != len(other.contrast.signs):
        return 0
    if cells == sorted(other.contrast.cells):
        return 1
    # the sides of a square cannot be exchanged: only a pair has two of them
    exchanged = sorted(pair[::-1] for pair in other.contrast.cells)
    if cells == exchanged and comparison.contrast.signs == _PAIR:
        return -1
    return 0


def main_comparisons(record: StudyRecord, *, scored: Container[str]) -> tuple[Comparison, ...]:
    """Every level but the baseline's, axis by axis, between arms in `scored`.

    Those are the arm_ids with a complete trial.
    """
    cells = _Cells.of(record, scored)
    comparisons = []
    for axis in record.axes:
        against = {axis: baseline_level(record, axis)}
        for level in other_levels(record, axis):
            comparisons.append(cells.compare({axis: level}, against=against))
    return tuple(comparisons)


def interactions(record: StudyRecord, *, scored: Container[str]) -> tuple[Comparison, ...]:
    """Every two axes and every two of their levels, where there are cells to compare.

    Against the baseline's levels; where an axis cannot matter beside those, against the first
    levels beside which it can.
    """
    return tuple(_each_interaction(record, scored))


def _each_interaction(record: StudyRecord, scored: Container[str]) -> Iterator[Comparison]:
    cells = _Cells.of(record, scored)
    for pair in itertools.combinations(record.axes, 2):
        yield from _interactions_of(record, pair, cells)


def _interactions_of(
    record: StudyRecord, axes: tuple[str, str], cells: _Cells
) -> Iterator[Comparison]:
    """One by one: who asks whether there is any stops at the first of thousands."""
    # the product begins with the baseline's levels of both axes, then moves on from them
    orders = [_baseline_first(record, axis) for axis in axes]
    for against in itertools.product(*orders):
        # one reference for all levels of the two axes, so that their interactions can be compared
        references = dict(zip(axes, against, strict=True))
        is_found = False
        for levels in itertools.product(*orders):
            # both axes must change: a square of which two corners are one is a main effect
            if any(map(operator.eq, levels, against)):
                continue
            changes = dict(zip(axes, levels, strict=True))
            comparison = cells.compare(changes, against=references)
            if comparison.contrast.cells:
                is_found = True
                yield comparison
        # references other than the baseline's only where an axis cannot matter beside those
        if is_found:
            return


def _baseline_first(record: StudyRecord, axis: str) -> list[str]:
    return [baseline_level(record, axis), *other_levels(record, axis)]


def other_levels(record: StudyRecord, axis: str) -> list[str]:
    """The axis's levels but the baseline's, in the order of the grid."""
    against = baseline_level(record, axis)
    others = []
    for level in map(level_text, record.axes[axis]):
        if level != against:
            others.append(level)
    return others


def arm_of_cell(record: StudyRecord) -> dict[Cell, str]:
    """Return levels -> arm_id, for every cell that an arm answers.

    Levels are text, in the order of the axes.
    """
    arms: dict[Cell, str] = {}
    for arm in record.arms:
        for levels in arm.cells:
            # a search leaves out the axes that its conditions switch off
            if set(record.axes) <= set(levels):
                cell = tuple(level_text(levels[axis]) for axis in record.axes)
                arms[cell] = arm.arm_id
    return arms


def baseline_level(record: StudyRecord, axis: str) -> str:
    """The baseline arm's level of `axis`; without a baseline, the first level.

    Where the arm answers several cells, the first of them counts.
    """
    if record.baseline is not None:
        for cell in record.baseline.cells:
            if axis in cell:
                return level_text(cell[axis])
    return level_text(record.axes[axis][0])


def axis_columns(record: StudyRecord) -> dict[str, NDArray[np.float64]]:
    """Axis -> (arms, levels): the share of the arm's cells at each level.

    Axes of one level are left out.
    """
    columns = {}
    for axis, levels in record.axes.items():
        if len(levels) < 2:
            continue
        # as text, as everywhere where levels are compared
        order = {level_text(level): column for column, level in enumerate(levels)}
        counts = np.zeros((len(record.arms), len(order)))
        for place, arm in enumerate(record.arms):
            for cell in arm.cells:
                if axis in cell:
                    # a merged arm stands at several levels, with a share of its cells at each
                    counts[place, order[level_text(cell[axis])]] += 1
        n_cells = counts.sum(axis=1, keepdims=True)
        # max: an arm of a search may have no level of an axis that its conditions switch off
        columns[axis] = counts / np.maximum(n_cells, 1)
    return columns


@dataclass(frozen=True)
class _Cells:
    """The answered cells of a study, gathered once for all its comparisons."""

    axes: tuple[str, ...]
    arms: Mapping[Cell, str]
    places: Mapping[str, int]
    """arm_id -> its place in the record."""
    scored: Container[str]

    @classmethod
    def of(cls, record: StudyRecord, scored: Container[str]) -> _Cells:
        return cls(tuple(record.axes), arm_of_cell(record), arm_places(record.arms), scored)

    @cached_property
    def _cells_at(self) -> dict[tuple[int, str], list[Cell]]:
        """(place of an axis, level) -> the cells at that level, in the order of `arms`."""
        cells: dict[tuple[int, str], list[Cell]] = defaultdict(list)
        for cell in self.arms:
            # (place, level) is what enumerate gives
            for at_level in enumerate(cell):
                cells[at_level].append(cell)
        return dict(cells)

    def compare(self, changes: Mapping[str, str], *, against: Mapping[str, str]) -> Comparison:
        """Return the levels of one axis, or of two, against other levels."""
        sides = [(level, against[axis]) for axis, level in changes.items()]
        # the product counts up from the last axis: both, first alone, second alone, neither, which
        # is the order of the signs
        corners = []
        for levels in itertools.product(*sides):
            corners.append(dict(zip(changes, levels, strict=True)))
        signs: tuple[int, ...] = _PAIR
        if len(changes) == 2:
            signs = _SQUARE
        contrast, n_same_arm = self.contrast(corners, signs)
        return Comparison(
            axes=tuple(changes),
            levels=tuple(changes.values()),
            against=tuple(against[axis] for axis in changes),
            contrast=contrast,
            n_same_arm=n_same_arm,
        )

    def contrast(
        self, corners: Sequence[dict[str, str]], signs: tuple[int, ...]
    ) -> tuple[Contrast, int]:
        """Return the contrast over all matched cells, and how many are one arm on both sides.

        `corners`: the levels of each cell of a match; they agree in all other axes.
        """
        matched = []
        n_same_arm = 0
        for arms in self._matched(corners):
            # an axis that cannot matter there: the difference is 0 by construction, and no evidence
            if len(set(arms)) < len(arms):
                n_same_arm += 1
            # an arm without any score makes no pair, whatever seeds are chosen later
            elif all(arm in self.scored for arm in arms):
                matched.append(tuple(self.places[arm] for arm in arms))
        return Contrast(tuple(matched), signs), n_same_arm

    def _matched(self, corners: Sequence[dict[str, str]]) -> Iterator[tuple[str, ...]]:
        """The arms of matched cells, in the order of `corners`."""
        corner_levels = [(self.axes.index(axis), level) for axis, level in corners[0].items()]
        at_each_level = [self._cells_at.get(at_level, []) for at_level in corner_levels]
        # the cells at the rarest of the levels, of which there may be few among thousands
        candidates = min(at_each_level, key=len)
        for cell in candidates:
            if any(cell[place] != level for place, level in corner_levels):
                continue
            levels = dict(zip(self.axes, cell, strict=True))
            arms = []
            for corner in corners:
                # `levels` has the axes in order, and | keeps the places of replaced keys
                arm_id = self.arms.get(tuple((levels | corner).values()))
                if arm_id is not None:
                    arms.append(arm_id)
            # an excluded cell has no arm, so its match is not complete
            if len(arms) == len(corners):
                yield tuple(arms)
