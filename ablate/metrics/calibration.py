"""How far a network's confidence is from its accuracy: top-label calibration in equal-width bins, and the temperature that mends it."""

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


def fit_temperature(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the temperature in [0.05, 20] that softens probabilities (N, C) to the least log loss on `labels` (N,): above 1 the network is too sure.

    Newton's method on 1 / T, in which the log loss is convex.
    """
    logits = _logits(probabilities)
    own = logits[np.arange(len(labels)), labels].mean()
    inverse = 1.0
    for _ in range(30):
        weights = np.exp(inverse * logits)
        total = weights.sum(axis=1)
        mean, square = (
            np.einsum("ij,ij->i", weights, logits) / total,
            np.einsum("ij,ij,ij->i", weights, logits, logits) / total,
        )
        curvature = float((square - mean**2).mean())
        if curvature < 1e-12:
            break
        step = (float(mean.mean()) - own) / curvature
        before, inverse = (
            inverse,
            float(np.clip(inverse - np.clip(step, -0.5 * inverse, inverse), 0.05, 20.0)),
        )
        if (
            abs(inverse - before) < 1e-4 * inverse
        ):  # the next step would be of the order of its square
            break
    return 1 / inverse


def with_temperature(
    probabilities: NDArray[np.floating], temperature: float
) -> NDArray[np.float64]:
    """Probabilities (N, C) of the logits divided by `temperature`; the order of the classes stays."""
    return _softmax(_logits(probabilities) / temperature)


def _logits(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Up to a constant for each image."""
    logits = np.log(np.clip(probabilities.astype(np.float64), 1e-12, 1.0))
    return np.asarray(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    exponents = np.exp(logits)
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), dtype=np.float64)
