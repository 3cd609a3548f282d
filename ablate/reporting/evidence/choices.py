"""What each choice of the best arm is worth: the best arm against its neighbours.

A neighbour is the same recipe with another level of one axis. This is what people mean by an
ablation, and what main effects, which are means over the other axes, do not say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from ablate.recipe.levels import level_text
from ablate.reporting.evidence.arm_gaps import ArmGap, gaps_to
from ablate.reporting.evidence.comparisons import arm_of_cell
from ablate.reporting.evidence.effects import Effects
from ablate.reporting.evidence.scores import StudyScores
from ablate.reporting.statistics.verdict import CHOICES_ALPHA, Judged
from ablate.study.record import ArmRecord, StudyRecord

# of choices.csv, whose readers go by these names
COLUMNS = (
    "axis",
    "best",
    "instead_of",
    "arm_id",
    "difference",
    "low",
    "high",
    "p_corrected",
    "verdict",
    "n_seeds",
    "is_shared",
)


@dataclass(frozen=True)
class Neighbour:
    """An arm that differs from another one in a single axis."""

    axis: str
    chosen: str
    """The level of the arm that it is a neighbour of."""
    level: str
    """Its own level."""
    arm_id: str


@dataclass(frozen=True)
class Choice:
    """What a level of the best arm gains over another level of the same axis."""

    neighbour: Neighbour
    judged: Judged
    """The best arm less its neighbour, in units of the metric."""
    is_shared: bool
    """Whether the report compares these two arms elsewhere too: as a question, as a main effect, or
    because one of them is the baseline. Then this is the one answer that all pages have."""


def choices(
    study: StudyScores,
    *,
    best: ArmRecord,
    effects: Effects,
    to_baseline: Sequence[ArmGap],
) -> tuple[Choice, ...]:
    """Compare `best` with each neighbour that was trained, axis by axis.

    Comparisons that `to_baseline` or an effect has answered keep that answer; the others are a
    family of their own.
    """
    record = study.record
    around = list(neighbours(record, best))
    answers = _against_baseline(record, best, to_baseline)
    # Arms that results added are not among those against the baseline, even where it is the best.
    others: dict[str, None] = {}
    for neighbour in around:
        # a merged arm may be a neighbour along several axes, and is compared once
        if neighbour.arm_id not in answers:
            others[neighbour.arm_id] = None
    gaps = gaps_to(
        study,
        reference=best,
        order=list(others),
        alpha=CHOICES_ALPHA,
        answered=[*effects.questions, *effects.mains],
    )
    for gap in gaps:
        # a gap is the neighbour less the best arm
        answers[gap.arm_id] = _Worth(gap.judged.reversed(), gap.answer.effect is not None)
    found = []
    for neighbour in around:
        worth = answers.get(neighbour.arm_id)
        if worth is not None:
            found.append(Choice(neighbour, worth.judged, worth.is_shared))
    return tuple(found)


@dataclass(frozen=True)
class _Worth:
    """The best arm less another one, see `Choice`."""

    judged: Judged
    is_shared: bool


def _against_baseline(
    record: StudyRecord, best: ArmRecord, to_baseline: Sequence[ArmGap]
) -> dict[str, _Worth]:
    """arm_id -> the answer, where the best arm or that other one is the baseline."""
    answers = {}
    for gap in to_baseline:
        # the baseline is the best: each gap is a choice already, seen from the other side
        if best.arm_id == record.baseline_arm_id:
            answers[gap.arm_id] = _Worth(gap.judged.reversed(), is_shared=True)
        # one of the best arm's neighbours may be the baseline: that gap is the answer
        elif gap.arm_id == best.arm_id:
            answers[record.baseline_arm_id] = _Worth(gap.judged, is_shared=True)
    return answers


def neighbours(record: StudyRecord, arm: ArmRecord) -> Iterator[Neighbour]:
    """The trained arms that differ from `arm` in one axis, in the order of axes and levels."""
    arms = arm_of_cell(record)
    cells_of_arm = []
    for cell, arm_id in arms.items():
        if arm_id == arm.arm_id:
            cells_of_arm.append(cell)
    axes = list(record.axes)
    for place, axis in enumerate(axes):
        seen = {arm.arm_id}
        for level in map(level_text, record.axes[axis]):
            for cell in cells_of_arm:
                other = (*cell[:place], level, *cell[place + 1 :])
                neighbour = arms.get(other)
                # a merged arm answers several cells, and may be met from each of them
                if neighbour is not None and neighbour not in seen:
                    seen.add(neighbour)
                    yield Neighbour(axis, chosen=cell[place], level=level, arm_id=neighbour)


def choice_frame(choices: Sequence[Choice]) -> pd.DataFrame:
    """One row per neighbour, in units of the metric, for choices.csv."""
    rows = []
    for choice in choices:
        neighbour = choice.neighbour
        judged = choice.judged
        # in the order of COLUMNS, as are the two beside it
        answer = (judged.estimate.value, judged.low, judged.high, judged.p, judged.verdict.value)
        levels = (neighbour.axis, neighbour.chosen, neighbour.level, neighbour.arm_id)
        rows.append((*levels, *answer, judged.estimate.n_seeds, choice.is_shared))
    return pd.DataFrame(rows, columns=list(COLUMNS))
