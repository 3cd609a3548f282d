"""Scores of a classifier on one whole split, as pure functions of arrays.

Macro means are over the classes *present* in the split: a class without a label has no recall, no
F1 and no ROC curve, so it does not enter the mean, and a perfect ranking scores 1.0 although a
class is absent. Libraries disagree here (0.667 or nan), hence our own functions, checked against
scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.errors import CheckFailed
from ablate.metrics._base import check_finite, mean_of_defined
from ablate.metrics.calibration import reliability
from ablate.metrics.operating_point import average_precision
from ablate.metrics.ranking import Ranking, rank_classes
from ablate.metrics.resampling import resampled_area, sums_by_group

_SMALLEST_PROBABILITY = 1e-12
"""A label given less than this costs the same log loss, 27.6.

One float32 underflow must not make the mean infinite.
"""


@dataclass(frozen=True)
class PerClass:
    """Scores of each class against the rest, in [0, 1]; NaN where undefined. All are (C,)."""

    precision: NDArray[np.float64]
    """NaN where the class was never predicted."""
    recall: NDArray[np.float64]
    """NaN where the class is absent."""
    f1: NDArray[np.float64]
    """NaN where the class is absent; 0 where it is present and never found."""
    auroc: NDArray[np.float64]
    """NaN where the class is absent, or the only one present. Ties count half."""
    support: NDArray[np.int64]
    """Images of the class."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """(C,) whether the split has any image of the class."""
        return self.support > 0


def score(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, float]:
    """Return every metric of the task's spec, for as many classes as there are.

    `probabilities` (N, C) with rows that sum to 1, `labels` (N,) in [0, C), N >= 1. All are in
    [0, 1], except `nll` in [0, 27.7] nats. `auroc_ovr_macro` is NaN where only one class is
    present; `average_precision`, of two classes only, is that of the second, NaN where it is
    absent. Raises TrialError for probabilities that are not finite, CheckFailed for arrays of a
    wrong shape or range.
    """
    probabilities = _checked(probabilities, labels)
    classes = per_class(probabilities, labels)
    scores = {
        # absent classes are NaN here, which is how they stay out of all macro means
        "macro_f1": mean_of_defined(classes.f1),
        "auroc_ovr_macro": mean_of_defined(classes.auroc),
        "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        "balanced_accuracy": mean_of_defined(classes.recall),
        "nll": _log_loss(probabilities, labels),
        "ece": reliability(probabilities, labels).ece,
    }
    # of two classes the second is the positive one, as everywhere in the reports
    if probabilities.shape[1] == 2:
        scores["average_precision"] = average_precision(probabilities[:, 1], labels == 1)
    return scores


def resampled(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    weights: NDArray[np.float32],
) -> Mapping[str, NDArray[np.float64]]:
    """Macro F1 and AUROC, (n_draws,) each, on images resampled by `weights` (n_draws, N)."""
    return {
        "macro_f1": resampled_macro_f1(probabilities.argmax(axis=1), labels, weights),
        "auroc_ovr_macro": resampled_area(rank(probabilities, labels), weights),
    }


def per_class(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    ranking: Ranking | None = None,
) -> PerClass:
    """Score each class against the rest; arguments and errors as in `score`.

    `ranking` where it was computed before.
    """
    probabilities = _checked(probabilities, labels)
    matrix = confusion(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    hits = matrix.diagonal()
    support = matrix.sum(axis=1)
    n_predicted = matrix.sum(axis=0)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is wanted
        precision = hits / n_predicted
        recall = hits / support
        f1 = np.where(support > 0, 2 * hits / (support + n_predicted), np.nan)
    # The ranking costs more than all else here, and a report needs it twice.
    if ranking is None:
        ranking = rank(probabilities, labels)
    return PerClass(precision=precision, recall=recall, f1=f1, auroc=ranking.area, support=support)


def rank(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> Ranking:
    """Rank the images for each class; `probabilities` (N, C), `labels` (N,)."""
    classes = np.arange(probabilities.shape[1])
    return rank_classes(probabilities, (labels[:, None] == classes).astype(np.int8))


def confusion(
    labels: NDArray[np.integer], predicted: NDArray[np.integer], n_classes: int
) -> NDArray[np.int64]:
    """Return (n_classes, n_classes) counts: row = label, column = predicted class."""
    # one bincount over (label, predicted) as a single number: no loop over the classes
    pairs = labels.astype(np.int64) * n_classes + predicted.astype(np.int64)
    return np.bincount(pairs, minlength=n_classes * n_classes).reshape(n_classes, n_classes)


def resampled_macro_f1(
    predicted: NDArray[np.integer], labels: NDArray[np.integer], weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return (n_draws,) macro F1 over the classes present: exact, not linearised.

    `predicted`, `labels` (N,), `weights` (n_draws, N). A draw keeps the size of each class, so
    only the images that were taken for another class are counted anew.
    """
    n_classes = int(max(predicted.max(), labels.max())) + 1
    support = np.bincount(labels, minlength=n_classes).astype(np.float64)
    (wrong,) = np.nonzero(predicted != labels)
    # a good network errs on few images, and only their columns are summed
    weights_of_wrong = weights[:, wrong]
    lost = sums_by_group(weights_of_wrong, labels[wrong], n_classes)
    gained = sums_by_group(weights_of_wrong, predicted[wrong], n_classes)
    # support - lost are the hits; in the denominator, images labelled plus images predicted
    present = support > 0
    f1 = 2 * (support - lost)[:, present] / (2 * support - lost + gained)[:, present]
    return np.asarray(f1.mean(axis=1), dtype=np.float64)


def _log_loss(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> float:
    """Mean negative log of the probability that the label was given, in nats."""
    given_to_label = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(given_to_label, _SMALLEST_PROBABILITY, 1.0)).mean())


def _checked(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return `probabilities` as float64 after checking what every score takes for granted."""
    is_table = probabilities.ndim == 2 and probabilities.size > 0
    if not is_table or labels.shape != probabilities.shape[:1]:
        raise CheckFailed(
            "probabilities must be (N, C) and labels (N,) with N >= 1, "
            f"got {probabilities.shape} and {labels.shape}"
        )
    check_finite(probabilities)
    n_classes = probabilities.shape[1]
    # a negative label would score against the last class, without an error
    if labels.min() < 0 or labels.max() >= n_classes:
        raise CheckFailed(
            f"labels must lie in [0, {n_classes}), got {labels.min()} to {labels.max()}"
        )
    checked: NDArray[np.float64] = np.asarray(probabilities, dtype=np.float64)
    # loose enough for float32 rows of many classes; logits miss it by far
    if checked.min() < 0 or np.abs(checked.sum(axis=1) - 1).max() > 1e-3:
        raise CheckFailed(
            "rows of probabilities must be >= 0 and sum to 1 within 0.001; softmax the logits first"
        )
    return checked
