"""How sure the score of one arm is: a 95 % interval over seeds and test images.

Each arm by itself: these intervals say nothing of differences, which are paired and far narrower.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting.evidence.judged_metrics import judged_metrics
from ablate.reporting.evidence.scores import score_array
from ablate.reporting.statistics.contrast import alone
from ablate.reporting.statistics.estimate import estimates
from ablate.reporting.statistics.verdict import ALPHA
from ablate.study.arm_record import arms_by_id
from ablate.study.record import StudyRecord
from ablate.study.tasks import task_of


def with_intervals(
    arms: pd.DataFrame,
    record: StudyRecord,
    trials: pd.DataFrame,
    replicates: Mapping[str, NDArray[np.floating]],
) -> pd.DataFrame:
    """The arm frame with `<metric>/low` and `/high`, for both judged metrics.

    The 95 % interval of the arm's mean; NaN where one seed leaves it unknown. The arms lend each
    other their variance.
    """
    added = arms.copy()
    contrasts = list(map(alone, range(len(record.arms))))
    for metric in judged_metrics(record):
        # no trial completed, so no column was made
        if f"{metric}/mean" not in arms:
            continue
        scores = score_array(record, trials, metric)
        found = estimates(contrasts, scores, replicates.get(metric))
        of_arm = dict(zip(arms_by_id(record.arms), found, strict=True))
        # the frame is sorted by score, the estimates stand in the order of the record
        halves = np.array([of_arm[arm_id].half_width(ALPHA) for arm_id in arms["arm_id"]])
        # an interval of a score ends where the score does: a macro F1 is never above 1
        highest = task_of(record.task).metric(metric.removeprefix("test/")).highest
        added[f"{metric}/low"] = (arms[f"{metric}/mean"] - halves).clip(lower=0.0)
        added[f"{metric}/high"] = (arms[f"{metric}/mean"] + halves).clip(upper=highest)
    return added
