"""How far a network's confidence is from its accuracy, and the temperature that mends it.

Calibration is that of the top label, in equal-width bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

# the number that most papers since Guo et al. (2017) report, so that numbers can be compared
N_BINS = 15
LEAST = 0.05
MOST = 20.0
"""Temperatures beyond these two make no difference that a report could show."""


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: one entry per bin of the top probability; NaN where one is empty.

    Bin b of `N_BINS` is (b / 15, (b + 1) / 15].
    """

    count: NDArray[np.int64]
    """(N_BINS,) images whose top probability falls into the bin."""
    confidence: NDArray[np.float64]
    """(N_BINS,) their mean top probability."""
    accuracy: NDArray[np.float64]
    """(N_BINS,) share of them whose top class is right."""

    @property
    def ece(self) -> float:
        """Expected calibration error in [0, 1].

        The mean of |confidence - accuracy|, weighted by the images of each bin.
        """
        # an empty bin is NaN in both: it weighs nothing, but NaN * 0 would be NaN
        gap = np.abs(np.nan_to_num(self.confidence) - np.nan_to_num(self.accuracy))
        return float((gap * self.count).sum() / self.count.sum())


def reliability(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> Reliability:
    """Bin the images by their top probability. `probabilities` (N, C), `labels` (N,)."""
    predicted = probabilities.argmax(axis=1)
    # float64: one float32 rounding at an edge would move an image to the next bin
    top = probabilities.max(axis=1).astype(np.float64)
    # ceil, not floor: a bin holds its upper edge, so that a probability of 1 falls into the last
    bins = np.clip(np.ceil(top * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
    count = np.bincount(bins, minlength=N_BINS)
    # 0 / 0 of an empty bin is the NaN that is wanted
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(bins, weights=top, minlength=N_BINS) / count
        accuracy = np.bincount(bins, weights=predicted == labels, minlength=N_BINS) / count
    return Reliability(count=count, confidence=confidence, accuracy=accuracy)


def fit_temperature(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the temperature in [0.05, 20] that brings (N, C) to the least log loss on `labels`.

    `labels` (N,). Above 1 the network is overconfident.
    """
    from scipy.optimize import brentq

    logits = _logits(probabilities)
    # d loss / d inverse is the mean over images of expected logit less the label's logit, of which
    # the second part does not depend on the temperature
    of_label = logits[np.arange(len(labels)), labels].mean()

    def slope(inverse: float) -> float:
        """Of the log loss over the inverse temperature, in which it is convex."""
        expected = (softmax(inverse * logits, axis=1) * logits).sum(axis=1)
        return float(expected.mean() - of_label)

    # the bounds change sides, because the inverse is searched
    low = 1 / MOST
    high = 1 / LEAST
    # also where all probabilities are equal, and every temperature does
    if slope(1.0) == 0:
        return 1.0
    # convex: without a change of sign the least loss is at an end of the interval
    if slope(low) >= 0:
        return MOST
    if slope(high) <= 0:
        return LEAST
    return float(1 / brentq(slope, low, high))


def with_temperature(
    probabilities: NDArray[np.floating], temperature: float
) -> NDArray[np.float64]:
    """Probabilities (N, C) of the logits divided by `temperature`.

    The order of the classes stays.
    """
    return np.asarray(softmax(_logits(probabilities) / temperature, axis=1), dtype=np.float64)


def _logits(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Up to a constant for each image."""
    # predictions files keep float32 probabilities, of which some are 0
    logits = np.log(np.clip(probabilities.astype(np.float64), 1e-12, 1.0))
    return np.asarray(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
