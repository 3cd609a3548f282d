"""How sure the score of one arm is: seeds and test images.

One arm's seeds are too few to tell their spread: the middle arm's stands in, and the arm's own
where that is larger.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t

from ablate.reporting.evidence.effects import score_array
from ablate.reporting.evidence.judged_metrics import judged_metrics
from ablate.reporting.statistics.contrast import CONFIDENCE, Block, block_values, image_variance
from ablate.reporting.statistics.variance import typical_variance
from ablate.study.record import StudyRecord
from ablate.study.tasks import task_of


def with_intervals(
    arms: pd.DataFrame,
    record: StudyRecord,
    trials: pd.DataFrame,
    replicates: Mapping[str, NDArray[np.floating]],
) -> pd.DataFrame:
    """The arm frame with the 95 % interval of each arm's mean, for both judged metrics.

    Its columns: `<metric>/low` and `<metric>/high`.

    NaN where one seed leaves it unknown.
    """
    added = arms.copy()
    places = {arm.arm_id: place for place, arm in enumerate(record.arms)}
    for metric in judged_metrics(record):
        scores = score_array(record, trials, metric)
        typical = typical_variance(scores)
        df = int((np.maximum((~np.isnan(scores)).sum(axis=1) - 1, 0)).sum())
        halves = [
            _half(scores, replicates.get(metric), place=places[arm_id], typical=typical, df=df)
            for arm_id in arms["arm_id"]
        ]
        if f"{metric}/mean" in arms:
            added[f"{metric}/low"] = (arms[f"{metric}/mean"] - halves).clip(lower=0.0)
            highest = task_of(record.task).metric(metric.removeprefix("test/")).highest
            added[f"{metric}/high"] = (arms[f"{metric}/mean"] + halves).clip(upper=highest)
    return added


def _half(
    scores: NDArray[np.float64],
    replicates: NDArray[np.floating] | None,
    *,
    place: int,
    typical: float,
    df: int,
) -> float:
    found = block_values([Block((place,), (1.0,), 1)], scores)
    if not found.blocks or df < 1:
        return math.nan
    images = math.nan if replicates is None else image_variance(found, replicates)
    known = found.values[~np.isnan(found.values)]
    own = float(known.var(ddof=1)) if len(known) > 1 else 0.0
    variance = max(own, typical) / len(known) + (0.0 if math.isnan(images) else images)
    return float(t.ppf((1 + CONFIDENCE) / 2, df)) * math.sqrt(variance)
