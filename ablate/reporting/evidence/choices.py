"""What each choice of the best arm is worth: the best arm against its neighbours.

A neighbour is the same recipe with another level of one axis. This is what people mean by an
ablation, and what main effects, which are means over the other axes, do not say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from ablate.recipe.levels import level_text
from ablate.reporting.evidence.arm_gaps import ArmGap, Replicates, gaps_to
from ablate.reporting.evidence.comparisons import arm_of_cell
from ablate.reporting.statistics.verdict import ALPHA, Judged, Verdict
from ablate.study.record import ArmRecord, StudyRecord

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
    "is_of_baseline_family",
)
_OPPOSITE = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}


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
    is_of_baseline_family: bool
    """Whether one of the two is the baseline: then it is the one answer that all pages have."""


def choices(
    record: StudyRecord,
    trials: pd.DataFrame,
    replicates: Replicates,
    *,
    best: ArmRecord,
    to_baseline: Sequence[ArmGap],
) -> tuple[Choice, ...]:
    """Compare `best` with each neighbour that was trained, axis by axis.

    The comparisons are a family of their own with 5 % of error, but for those with the baseline,
    which `to_baseline` has answered already.
    """
    answered = _answered(record, best, to_baseline)
    around = list(neighbours(record, best))
    own_family = [one.arm_id for one in around if one.arm_id not in answered]
    gaps = gaps_to(
        record,
        trials,
        replicates,
        reference=best,
        order=list(dict.fromkeys(own_family)),
        alpha=ALPHA,
    )
    # `gaps` are neighbour less best
    against_best = {gap.arm_id: reversed_answer(gap.judged) for gap in gaps}
    found = []
    for neighbour in around:
        is_of_baseline = neighbour.arm_id in answered
        judged = answered.get(neighbour.arm_id) or against_best.get(neighbour.arm_id)
        if judged is not None:
            found.append(Choice(neighbour, judged, is_of_baseline))
    return tuple(found)


def _answered(
    record: StudyRecord, best: ArmRecord, to_baseline: Sequence[ArmGap]
) -> dict[str, Judged]:
    """Neighbour -> best less neighbour, where the arms against the baseline have answered it.

    An arm that results added is not among those, even beside a best arm that is the baseline.
    """
    if best.arm_id == record.baseline_arm_id:
        return {gap.arm_id: reversed_answer(gap.judged) for gap in to_baseline}
    answers = {}
    for gap in to_baseline:
        if gap.arm_id == best.arm_id:
            answers[record.baseline_arm_id] = gap.judged
    return answers


def neighbours(record: StudyRecord, arm: ArmRecord) -> Iterator[Neighbour]:
    """The trained arms that differ from `arm` in one axis, in the order of axes and levels."""
    arms = arm_of_cell(record)
    own = [cell for cell, arm_id in arms.items() if arm_id == arm.arm_id]
    axes = list(record.axes)
    for place, axis in enumerate(axes):
        seen = {arm.arm_id}
        for level in map(level_text, record.axes[axis]):
            for cell in own:
                other = (*cell[:place], level, *cell[place + 1 :])
                arm_id = arms.get(other)
                # a merged arm answers several cells, and may be met from each of them
                if arm_id is not None and arm_id not in seen:
                    seen.add(arm_id)
                    yield Neighbour(axis, chosen=cell[place], level=level, arm_id=arm_id)


def reversed_answer(judged: Judged) -> Judged:
    """The same answer for the difference the other way round."""
    return replace(
        judged,
        estimate=replace(judged.estimate, value=-judged.estimate.value),
        low=-judged.high,
        high=-judged.low,
        verdict=_OPPOSITE.get(judged.verdict, judged.verdict),
    )


def choice_frame(choices: Sequence[Choice]) -> pd.DataFrame:
    """One row per neighbour, in units of the metric, for choices.csv."""
    rows = []
    for choice in choices:
        neighbour = choice.neighbour
        judged = choice.judged
        answer = (judged.estimate.value, judged.low, judged.high, judged.p, judged.verdict.value)
        levels = (neighbour.axis, neighbour.chosen, neighbour.level, neighbour.arm_id)
        rows.append((*levels, *answer, judged.estimate.n_seeds, choice.is_of_baseline_family))
    return pd.DataFrame(rows, columns=list(COLUMNS))
