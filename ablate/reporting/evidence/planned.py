"""What a study will judge, known before a trial is trained: its comparisons and their precision.

The families and their shares of the error are those of `effects`, with every trial complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ablate.reporting.evidence.comparisons import (
    Comparison,
    contrasts_of,
    main_comparisons,
    questions,
)
from ablate.reporting.statistics.power import Design
from ablate.reporting.statistics.seed_variance import Span
from ablate.reporting.statistics.verdict import MAINS_ALPHA, QUESTIONS_ALPHA
from ablate.study.arm_record import arms_by_id
from ablate.study.record import StudyRecord


@dataclass(frozen=True)
class Planned:
    """A comparison, and what its precision depends on besides noise and seeds."""

    comparison: Comparison
    design: Design


def planned_comparisons(record: StudyRecord) -> tuple[Planned, ...]:
    """Return the questions of a study, or its main effects where it declares none.

    Those without cells to compare are left out.
    """
    # before training, every arm is taken to complete
    every_arm = arms_by_id(record.arms)
    # as in `effects`: where something is asked, that is what the 3.5 % are for
    asked = _with_cells(questions(record, scored=every_arm))
    if asked:
        return _family(asked, len(record.arms), alpha=QUESTIONS_ALPHA)
    mains = _with_cells(main_comparisons(record, scored=every_arm))
    return _family(mains, len(record.arms), alpha=MAINS_ALPHA)


def _with_cells(comparisons: Sequence[Comparison]) -> list[Comparison]:
    return [comparison for comparison in comparisons if comparison.contrast.cells]


def _family(comparisons: Sequence[Comparison], n_arms: int, *, alpha: float) -> tuple[Planned, ...]:
    # Scores do not matter for the rank: two seeds without a hole are enough to have one.
    rank = Span.of(contrasts_of(comparisons), np.zeros((n_arms, 2))).rank
    planned = []
    for comparison in comparisons:
        weights = comparison.contrast.weights(n_arms)
        # `judge` divides by the comparisons that have an interval: here all of them
        design = Design(float(weights @ weights), rank, alpha / len(comparisons))
        planned.append(Planned(comparison, design))
    return tuple(planned)
