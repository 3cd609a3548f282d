"""Two classes: average precision, and the threshold that keeps a target precision.

The threshold is chosen on val and reported on test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold does on one split."""

    threshold: float
    precision: float
    """NaN where nothing reaches the threshold."""
    recall: float


def average_precision(scores: NDArray[np.floating], is_positive: NDArray[np.bool_]) -> float:
    """Mean precision over the steps of recall, ties taken together; NaN without a positive.

    `scores`, `is_positive` (N,).
    """
    if not is_positive.any():
        return float("nan")
    # a sum over steps: the area below a line through them promises what no threshold keeps
    precision, recall, _ = _curve(scores, is_positive)
    return float((precision * np.diff(recall, prepend=0.0)).sum())


def threshold_for_precision(
    scores: NDArray[np.floating], is_positive: NDArray[np.bool_], *, target: float
) -> float | None:
    """The lowest score from which precision is at least `target`: the highest recall that keeps it.

    None where no threshold does.
    """
    if not is_positive.any():
        return None
    precision, _, thresholds = _curve(scores, is_positive)
    (reached,) = np.nonzero(precision >= target)
    if not len(reached):
        return None
    # Precision is not monotone: the last threshold that reaches it, whatever lies between.
    return float(thresholds[reached[-1]])


def at_threshold(
    scores: NDArray[np.floating], is_positive: NDArray[np.bool_], threshold: float
) -> OperatingPoint:
    """Precision and recall of calling everything with a score of at least `threshold` positive."""
    # at least, as in `_curve`: the image that gave the threshold is called
    called = scores >= threshold
    hits = int((called & is_positive).sum())
    precision = float("nan")
    recall = float("nan")
    if called.any():
        precision = hits / int(called.sum())
    if is_positive.any():
        recall = hits / int(is_positive.sum())
    return OperatingPoint(threshold, precision, recall)


def _curve(
    scores: NDArray[np.floating], is_positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.floating]]:
    """Precision, recall and score at each different score, from the highest down.

    There must be a positive, without which recall is undefined.
    """
    from sklearn.metrics import precision_recall_curve  # half a second that a plan can do without

    precision, recall, thresholds = precision_recall_curve(is_positive, scores)
    # scikit-learn goes from the lowest score up, and ends with a point that no score has.
    return precision[-2::-1], recall[-2::-1], thresholds[::-1]
