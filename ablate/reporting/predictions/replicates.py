"""Scores on resampled test images, as arrays over arms and seeds: what intervals are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.evidence.judged_metrics import judged_metrics
from ablate.reporting.predictions.read import Readings
from ablate.streams import stream
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
        arrays[metric] = with_repeats(array, readings.repeats)
    return arrays


def with_repeats(replicates: NDArray[np.float64], repeats: float) -> NDArray[np.float64]:
    """Add to (arms, seeds, draws) what groups that several seeds test have in common.

    A fold has few groups of a class: within it, resampling does not show how much one differs from
    the next. Between seeds it shows. So each draw moves all seeds of an arm together, by the
    deviations of its seeds times random numbers that all arms share: any difference of arms then
    moves by `repeats` times the variance of its mean over seeds (a wild bootstrap).
    """
    n_seeds, n_draws = replicates.shape[1:]
    if repeats == 0 or n_seeds < 2:
        return replicates
    rng = np.random.default_rng(stream(0, "bootstrap", "seeds"))
    numbers = rng.standard_normal((n_seeds, n_draws))
    centres = replicates.mean(axis=2)  # (arms, seeds)
    is_known = ~np.isnan(centres)
    n_known = np.maximum(is_known.sum(axis=1, keepdims=True), 2)
    means = np.where(is_known, centres, 0.0).sum(axis=1, keepdims=True) / n_known
    deviations = np.where(is_known, centres - means, 0.0)
    scale = np.sqrt(repeats / (n_known * (n_known - 1)))
    return np.asarray(replicates + ((scale * deviations) @ numbers)[:, None, :])
