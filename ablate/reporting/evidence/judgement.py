"""Every verdict of a study, from its scores: the one place where the families come together.

The report writes them down, and simulated studies count how often one of them is false.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting.evidence.arm_gaps import ArmGap, best_candidates, gaps_to, with_gaps
from ablate.reporting.evidence.choices import Choice, choices
from ablate.reporting.evidence.effects import Effects, study_effects
from ablate.reporting.evidence.frames import champion
from ablate.reporting.evidence.scores import StudyScores
from ablate.study.record import ArmRecord, StudyRecord


@dataclass(frozen=True)
class Judgement:
    """What is said of a study: on test, but for the champion, which val chooses."""

    effects: Effects
    champion: ArmRecord | None
    to_baseline: tuple[ArmGap, ...]
    """Every other scored arm against the baseline, in the order that was asked for."""
    choices: tuple[Choice, ...]
    """The champion against the arms that differ from it in one axis."""
    may_be_best: frozenset[str]
    """arm_ids of the arms among which the best one is."""


def judge_study(
    record: StudyRecord,
    trials: pd.DataFrame,
    replicates: Mapping[str, NDArray[np.floating]],
    *,
    order: Sequence[str],
) -> Judgement:
    """Judge a study by its trial frame and by its scores on resampled test images.

    `order`: arm_ids in the order of the gaps.
    """
    scores = StudyScores(record, trials, replicates)
    # 1. questions, main effects, interactions: their answers go before all others
    effects = study_effects(record, trials, replicates)
    baseline = record.baseline
    # 2. gaps to the baseline that no effect has answered
    to_baseline: tuple[ArmGap, ...] = ()
    if baseline is not None:
        to_baseline = gaps_to(
            scores,
            reference=baseline,
            order=order,
            answered=effects.questions or effects.mains,
        )
        # 3. explored effects take over the gaps, which are promised and they are not
        effects = with_gaps(effects, to_baseline, scores)
    # by val alone; everything that is said of it is of test
    best = champion(record, trials)
    # 4. neighbours of the champion that none of those has answered
    around: tuple[Choice, ...] = ()
    if best is not None:
        around = choices(scores, best=best, effects=effects, to_baseline=to_baseline)
    return Judgement(
        effects=effects,
        champion=best,
        to_baseline=to_baseline,
        choices=around,
        may_be_best=best_candidates(scores),
    )
