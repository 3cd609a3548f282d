"""What a task is judged by: its scores on a split, and the same scores on resampled images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.errors import TrialError

Score = Callable[[NDArray[np.floating], NDArray[np.integer]], dict[str, float]]
"""Predictions (N, ...) and the targets' array (N, ...) -> metric -> score."""
Resample = Callable[
    [NDArray[np.floating], NDArray[np.integer], NDArray[np.float32]],
    Mapping[str, NDArray[np.float64]],
]
"""Predictions, targets' array and weights (n_draws, N) -> metric -> (n_draws,) scores."""


@dataclass(frozen=True)
class Scoring:
    """The scores of one task."""

    score: Score
    """Every metric of the task's spec that exists for so many classes."""
    resampled: Resample
    """The task's primary and secondary metric on each draw of `resampling.image_weights`."""


def check_finite(predictions: NDArray[np.floating]) -> None:
    """Raises TrialError for predictions (N, C) that are not finite."""
    # by row, so that the message can say how many images are affected
    is_finite = np.isfinite(predictions).all(axis=1)
    if not is_finite.all():
        raise TrialError(
            f"probabilities must be finite, got NaN or infinity for {int((~is_finite).sum())} of "
            f"{len(predictions)} images: training diverged; lower head_lr, or set precision to fp32"
        )


def mean_of_defined(values: NDArray[np.float64]) -> float:
    """The mean of what is not NaN; NaN where nothing is."""
    defined = values[~np.isnan(values)]
    if not len(defined):  # numpy's mean of nothing is NaN too, with a warning
        return float("nan")
    return float(defined.mean())
