"""The scores of a study as arrays: on its test images, and on resampled ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting.evidence.paired import scores_of
from ablate.study.arm_record import arm_places
from ablate.study.record import StudyRecord

Replicates = Mapping[str, NDArray[np.floating]]
"""Metric -> (arms, seeds, draws) scores on resampled test images, arms and seeds in the order of
the record."""


@dataclass(frozen=True)
class StudyScores:
    """What every comparison of a study is computed from."""

    record: StudyRecord
    trials: pd.DataFrame
    """See `frames.trial_frame`."""
    replicates: Replicates

    def array(self, metric: str) -> NDArray[np.float64]:
        """See `score_array`."""
        return score_array(self.record, self.trials, metric)

    @cached_property
    def places(self) -> dict[str, int]:
        """arm_id -> its place in the record, and so its row of the arrays."""
        return arm_places(self.record.arms)


def score_array(record: StudyRecord, trials: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    """(arms, seeds) in the order of the record, NaN where a trial has no score."""
    # by key: to look each trial up in the frame would take far longer than all that follows
    scores = scores_of(trials, metric)
    # not a pivot of the frame: that would sort arms and seeds, and drop those without a score
    array = np.full((len(record.arms), len(record.seeds)), np.nan)
    for row, arm in enumerate(record.arms):
        for column, seed in enumerate(record.seeds):
            array[row, column] = scores.get((arm.arm_id, seed), math.nan)
    return array
