"""How far a network's confidence is from its accuracy: top-label calibration in equal-width bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

N_BINS = 15


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: one entry for each of `N_BINS` equal-width bins ((b / 15, (b + 1) / 15]) of the top probability; NaN where a bin is empty."""

    count: NDArray[np.int64]
    """(N_BINS,) images whose top probability falls into the bin."""
    confidence: NDArray[np.float64]
    """(N_BINS,) their mean top probability."""
    accuracy: NDArray[np.float64]
    """(N_BINS,) share of them whose top class is right."""

    @property
    def ece(self) -> float:
        """Expected calibration error in [0, 1]: mean |confidence - accuracy|, weighted by the images of each bin."""
        gap = np.abs(np.nan_to_num(self.confidence) - np.nan_to_num(self.accuracy))
        return float((gap * self.count).sum() / self.count.sum())


def reliability(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> Reliability:
    """Bin the images by their top probability. `probabilities` (N, C), `labels` (N,)."""
    predicted = probabilities.argmax(axis=1)
    top = probabilities.max(axis=1).astype(np.float64)
    bins = np.clip(np.ceil(top * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
    count = np.bincount(bins, minlength=N_BINS)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(bins, weights=top, minlength=N_BINS) / count
        accuracy = np.bincount(bins, weights=predicted == labels, minlength=N_BINS) / count
    return Reliability(count=count, confidence=confidence, accuracy=accuracy)
