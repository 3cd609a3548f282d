"""How far apart two trainings of one and the same arm land: the yardstick beside every gap."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ablate.reporting.evidence.frames import noise_runs
from ablate.reporting.evidence.judged_metrics import primary_metric
from ablate.reporting.evidence.scores import score_array
from ablate.reporting.statistics.variance import typical_variance
from ablate.study.choosing import is_score
from ablate.tracking.records import PublishedStudy


@dataclass(frozen=True)
class NoiseFloor:
    """SD of the primary metric on test over seeds, in its own units."""

    sd: float
    """NaN where it is not measured."""
    n_trials: int
    is_of_the_baseline: bool
    """Whether the grid asked for it (`noise_floor`): SD of the baseline arm over its own and its
    further seeds. Else that of the middle arm."""


def noise_floor(study: PublishedStudy, trials: pd.DataFrame) -> NoiseFloor:
    """Measure it on the baseline's own and further seeds where the grid asks; else on all arms."""
    primary = primary_metric(study.record)
    scores = []
    for run in noise_runs(study):
        value = run.metrics.get(primary, math.nan)
        # complete means a finite score to be chosen by, on val: test promises none
        if is_score(value):
            scores.append(value)
    # one arm with many seeds is the better yardstick: no other arm's collapse is in it
    if study.record.noise_seeds and len(scores) > 1:
        return NoiseFloor(float(np.std(scores, ddof=1)), len(scores), is_of_the_baseline=True)
    n_trials = 0
    if primary in trials:
        n_trials = int(trials[primary].notna().sum())
    variance = typical_variance(score_array(study.record, trials, primary))
    return NoiseFloor(math.sqrt(variance), n_trials, is_of_the_baseline=False)
