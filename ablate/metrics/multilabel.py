"""Scores of images with several labels on one whole split.

A class is called where its probability is at least `THRESHOLD`. Macro means follow the rule of
`metrics.classification`: they are over the classes *present* in the split, and a class that every
image has is no ranking, so it has no AUROC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.errors import CheckFailed
from ablate.metrics._base import check_finite, mean_of_defined
from ablate.metrics.operating_point import average_precision
from ablate.metrics.ranking import Ranking, rank_classes
from ablate.metrics.resampling import resampled_area

THRESHOLD = 0.5
"""Of all classes and all arms alike: none is tuned on val."""


@dataclass(frozen=True)
class PerLabel:
    """Scores of each class by itself, in [0, 1]; NaN where undefined. All arrays are (C,)."""

    precision: NDArray[np.float64]
    """NaN where the class was never called."""
    recall: NDArray[np.float64]
    """NaN where the class is absent."""
    f1: NDArray[np.float64]
    """NaN where the class is absent; 0 where it is present and never found."""
    auroc: NDArray[np.float64]
    """NaN where no image has the class, or every image. Ties count half."""
    average_precision: NDArray[np.float64]
    """NaN where the class is absent."""
    support: NDArray[np.int64]
    """Images that have the class."""


def score(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, float]:
    """Return every metric of the task's spec.

    `probabilities` (N, C) in [0, 1], each class by itself; `labels` (N, C) of 0 and 1, N >= 1.
    All scores are in [0, 1]. Micro F1 counts every class, present or not; subset accuracy is the
    share of images of which every class is right. NaN where nothing defines a score. Raises
    TrialError for probabilities that are not finite, CheckFailed for arrays of a wrong shape or
    range.
    """
    probabilities = checked(probabilities, labels)
    classes = per_label(probabilities, labels)
    is_called = probabilities >= THRESHOLD
    is_positive = labels == 1
    n_hits = int((is_called & is_positive).sum())
    n_called_or_positive = int(is_called.sum()) + int(is_positive.sum())
    # undefined where no image has a label and none is called
    micro_f1 = float("nan")
    if n_called_or_positive:
        micro_f1 = 2 * n_hits / n_called_or_positive
    return {
        "macro_f1": mean_of_defined(classes.f1),
        "auroc_ovr_macro": mean_of_defined(classes.auroc),
        "average_precision_macro": mean_of_defined(classes.average_precision),
        "micro_f1": micro_f1,
        "subset_accuracy": float((is_called == is_positive).all(axis=1).mean()),
    }


def resampled(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    weights: NDArray[np.float32],
) -> Mapping[str, NDArray[np.float64]]:
    """Macro F1 and AUROC, (n_draws,) each, on images resampled by `weights` (n_draws, N)."""
    return {
        "macro_f1": resampled_label_f1(probabilities, labels, weights),
        "auroc_ovr_macro": resampled_area(rank_classes(probabilities, labels), weights),
    }


def per_label(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    ranking: Ranking | None = None,
) -> PerLabel:
    """Score each class by itself; arguments and errors as in `score`.

    `ranking` where it was computed before.
    """
    probabilities = checked(probabilities, labels)
    is_called = probabilities >= THRESHOLD
    is_positive = labels == 1
    # per class; without a loop, since a data set may have hundreds
    hits = (is_called & is_positive).sum(axis=0)
    support = is_positive.sum(axis=0)
    n_called = is_called.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 is the NaN that is wanted
        precision = hits / n_called
        recall = hits / support
        f1 = np.where(support > 0, 2 * hits / (support + n_called), np.nan)
    # a caller that has sorted already passes it on: this costs more than all else here
    if ranking is None:
        ranking = rank_classes(probabilities, labels)
    precisions = []
    for of_class, has_class in zip(probabilities.T, is_positive.T, strict=True):
        precisions.append(average_precision(of_class, has_class))
    return PerLabel(
        precision=precision,
        recall=recall,
        f1=f1,
        auroc=ranking.area,
        average_precision=np.array(precisions),
        support=support,
    )


def checked(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return `probabilities` as float64 after checking what every score takes for granted."""
    is_table = probabilities.ndim == 2 and probabilities.size > 0
    # (N,) labels would be spread over all classes by numpy, without an error
    if not is_table or labels.shape != probabilities.shape:
        raise CheckFailed(
            "probabilities and labels must both be (N, C) with N >= 1, "
            f"got {probabilities.shape} and {labels.shape}"
        )
    check_finite(probabilities)
    is_in_range = probabilities.min() >= 0 and probabilities.max() <= 1
    if not is_in_range or not np.isin(labels, (0, 1)).all():
        raise CheckFailed(
            "probabilities must lie in [0, 1] and labels be 0 or 1; "
            "take the sigmoid of the logits first"
        )
    return np.asarray(probabilities, dtype=np.float64)


def resampled_label_f1(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return (n_draws,) macro F1 over the classes that a draw has: exact, not linearised.

    `probabilities`, `labels` (N, C), `weights` (n_draws, N).
    """
    called = (probabilities >= THRESHOLD).astype(np.float32)
    positive = (labels == 1).astype(np.float32)
    hits = _drawn(weights, called * positive)
    # unlike one label per image, a draw does not keep the size of each class: images are no strata
    support = _drawn(weights, positive)
    n_called = _drawn(weights, called)
    is_present = support > 0
    # The denominator is 0 only where the class is absent, and then its F1 is not counted.
    f1 = np.where(is_present, 2 * hits / np.maximum(support + n_called, 1e-12), 0.0)
    with np.errstate(invalid="ignore"):
        return np.asarray(f1.sum(axis=1) / is_present.sum(axis=1), dtype=np.float64)


def _drawn(weights: NDArray[np.float32], counts: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n_draws, N) and (N, C) -> (n_draws, C): counts of each draw, summed in float32."""
    return (weights @ counts).astype(np.float64)
