"""Scores of images with several labels on one whole split. A class is called where its probability is at least `THRESHOLD`.

Macro means follow the rule of `metrics.classification`: they are over the classes *present* in the split, and a class that every image has is no ranking, so it
has no AUROC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.errors import CheckFailed, TrialError
from ablate.metrics.operating_point import average_precision
from ablate.metrics.ranking import Ranking, rank_classes

THRESHOLD = 0.5


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
    """Return every metric of `ablate.study.trial.MULTILABEL_METRICS`.

    `probabilities` (N, C) in [0, 1], each class by itself; `labels` (N, C) of 0 and 1, N >= 1. All scores are in [0, 1]. Micro F1 counts every class, present
    or not; subset accuracy is the share of images of which every class is right. NaN where nothing defines a score. Raises TrialError for probabilities that
    are not finite, CheckFailed for arrays of a wrong shape or range.
    """
    probabilities = checked(probabilities, labels)
    classes = per_label(probabilities, labels)
    called, positive = probabilities >= THRESHOLD, labels == 1
    n_called_or_positive = int(called.sum()) + int(positive.sum())
    return {
        "macro_f1": _mean_of_defined(classes.f1),
        "auroc_ovr_macro": _mean_of_defined(classes.auroc),
        "average_precision_macro": _mean_of_defined(classes.average_precision),
        "micro_f1": 2 * int((called & positive).sum()) / n_called_or_positive
        if n_called_or_positive
        else float("nan"),
        "subset_accuracy": float((called == positive).all(axis=1).mean()),
    }


def per_label(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    ranking: Ranking | None = None,
) -> PerLabel:
    """Score each class by itself. Arguments and errors as in `score`; `ranking` where it was computed before."""
    probabilities = checked(probabilities, labels)
    called, positive = probabilities >= THRESHOLD, labels == 1
    hits, support, n_called = (
        (called & positive).sum(axis=0),
        positive.sum(axis=0),
        called.sum(axis=0),
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = hits / n_called, hits / support
        f1 = np.where(support > 0, 2 * hits / (support + n_called), np.nan)
    return PerLabel(
        precision=precision,
        recall=recall,
        f1=f1,
        auroc=(ranking or rank_classes(probabilities, labels)).auroc,
        average_precision=np.array(
            [
                average_precision(scores, own)
                for scores, own in zip(probabilities.T, positive.T, strict=True)
            ]
        ),
        support=support,
    )


def checked(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return `probabilities` as float64 after checking what every score takes for granted."""
    if probabilities.ndim != 2 or labels.shape != probabilities.shape or probabilities.size == 0:
        raise CheckFailed(
            f"probabilities and labels must both be (N, C) with N >= 1, got {probabilities.shape} and {labels.shape}"
        )
    if not np.isfinite(probabilities).all():
        n_bad = int((~np.isfinite(probabilities).all(axis=1)).sum())
        raise TrialError(
            f"probabilities must be finite, got NaN or infinity for {n_bad} of {len(labels)} images: training diverged; lower head_lr, or set precision to fp32"
        )
    if probabilities.min() < 0 or probabilities.max() > 1 or not np.isin(labels, (0, 1)).all():
        raise CheckFailed(
            "probabilities must lie in [0, 1] and labels be 0 or 1; take the sigmoid of the logits first"
        )
    return np.asarray(probabilities, dtype=np.float64)


def resampled_label_f1(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return (n_draws,) macro F1 over the classes that a draw has: exact, not linearised. `probabilities`, `labels` (N, C), `weights` (n_draws, N)."""
    called, positive = (
        (probabilities >= THRESHOLD).astype(np.float32),
        (labels == 1).astype(np.float32),
    )
    hits, support, n_called = (
        (weights @ counts).astype(np.float64) for counts in (called * positive, positive, called)
    )
    present = support > 0
    f1 = np.where(present, 2 * hits / np.maximum(support + n_called, 1e-12), 0.0)
    with np.errstate(invalid="ignore"):
        return np.asarray(f1.sum(axis=1) / present.sum(axis=1), dtype=np.float64)


def _mean_of_defined(values: NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
