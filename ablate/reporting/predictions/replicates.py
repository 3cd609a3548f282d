"""Scores on resampled test images, as arrays over arms and seeds: what intervals are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.evidence.judged_metrics import judged_metrics
from ablate.reporting.predictions.read import Readings
from ablate.study.record import StudyRecord


def replicate_arrays(readings: Readings, record: StudyRecord) -> dict[str, NDArray[np.float64]]:
    """Metric -> (arms, seeds, draws); NaN for trials whose predictions could not be read."""
    runs = readings.resampled
    if not runs:
        return {}
    arrays = {}
    for metric in judged_metrics(record):
        # all runs have the same draws, see `read_study`
        n_draws = len(next(iter(runs.values()))[metric])
        # NaN where nothing was read, so that arms and seeds keep their places: pairs go by place.
        array = np.full((len(record.arms), len(record.seeds), n_draws), np.nan)
        for row, arm in enumerate(record.arms):
            for column, seed in enumerate(record.seeds):
                if (arm.arm_id, seed) in runs:
                    array[row, column] = runs[arm.arm_id, seed][metric]
        arrays[metric] = array
    return arrays
