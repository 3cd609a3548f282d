"""Every arm against the baseline, and the arms that may be the best.

On test, by the primary metric. What an arm gains over the baseline is judged for all arms at once,
so that the gain of the arm that val chose needs no allowance for having been chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting.evidence.effects import Effect, score_array
from ablate.reporting.evidence.judged_metrics import primary_metric
from ablate.reporting.statistics.best_arm import judge_gaps, may_be_best
from ablate.reporting.statistics.contrast import gap
from ablate.reporting.statistics.estimate import estimates
from ablate.reporting.statistics.verdict import ALPHA, ARMS_ALPHA, Judged
from ablate.study.record import ArmRecord, StudyRecord
from ablate.study.trial import is_better

Replicates = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class ArmGap:
    """An arm less the baseline, or another reference, paired by seed."""

    arm_id: str
    judged: Judged
    """Its interval holds together with those of all other arms."""

    @property
    def difference(self) -> float:
        return self.judged.estimate.value

    @property
    def n_seeds(self) -> int:
        """Complete in both arms."""
        return self.judged.estimate.n_seeds


def gaps_to(
    record: StudyRecord,
    trials: pd.DataFrame,
    replicates: Replicates,
    *,
    reference: ArmRecord,
    order: Sequence[str],
    alpha: float = ARMS_ALPHA,
    declared: Sequence[Effect] = (),
) -> tuple[ArmGap, ...]:
    """Compare every other arm that shares a complete seed with `reference`, in `order`.

    All of them together err in a share `alpha` of studies. An arm that a question of `declared`
    compares with it has the question's answer.
    """
    metric = primary_metric(record)
    scores = score_array(record, trials, metric)
    places = {arm.arm_id: place for place, arm in enumerate(record.arms)}
    base = places[reference.arm_id]
    compared = []
    for arm_id in order:
        shares_a_seed = ~np.isnan(scores[[places[arm_id], base]]).any(axis=0)
        if arm_id != reference.arm_id and shares_a_seed.any():
            compared.append(arm_id)
    contrasts = [gap(places[arm_id], base) for arm_id in compared]
    judged = judge_gaps(
        estimates(contrasts, scores, replicates.get(metric)),
        alpha=alpha,
        margin=record.margin_of_score,
        is_lower_better=is_better(metric, 0.0, than=1.0),
    )
    asked = _asked_of_arms(declared, metric)
    gaps = []
    for arm_id, answer in zip(compared, judged, strict=True):
        pair = (places[arm_id], base)
        gaps.append(ArmGap(arm_id, asked.get(pair, answer)))
    return tuple(gaps)


def _asked_of_arms(declared: Sequence[Effect], metric: str) -> dict[tuple[int, ...], Judged]:
    """(arm, reference) as places in the record -> the answer to a question of these two."""
    answers: dict[tuple[int, ...], Judged] = {}
    for effect in declared:
        cells = effect.comparison.contrast.cells
        if effect.metric == metric and len(cells) == 1:
            answers.setdefault(cells[0], effect.judged)
            answers.setdefault(cells[0][::-1], effect.judged.reversed())
    return answers


def best_candidates(
    record: StudyRecord, trials: pd.DataFrame, replicates: Replicates
) -> frozenset[str]:
    """Return the arm_ids of the arms that may be the best: it is among them in 95 % of studies.

    Arms without a score are left out.
    """
    metric = primary_metric(record)
    scores = score_array(record, trials, metric)
    is_in = may_be_best(
        scores,
        replicates.get(metric),
        alpha=ALPHA,
        is_lower_better=is_better(metric, 0.0, than=1.0),
    )
    is_in &= ~np.isnan(scores).all(axis=1)
    return frozenset(arm.arm_id for arm, kept in zip(record.arms, is_in, strict=True) if kept)
