"""Scores of a classifier on resampled test images: the same draw of images for every run, so that differences stay paired by image.

A draw is a row of weights, one an image. Images are drawn within their class, because splits are stratified and macro means need every class: of the n images
of a class n - 1 are drawn with replacement and weigh n / (n - 1) each, which makes the spread of a mean that of s² / n, not of (n - 1) s² / n². Images with
several labels have no one class: all are drawn together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ablate.metrics.ranking import Ranking
from ablate.streams import stream


def image_weights(labels: NDArray[np.integer], *, n_draws: int, seed: int) -> NDArray[np.float32]:
    """Return (n_draws, N) weights; each row sums to the images of each class. A class of one image keeps it in every draw.

    `labels` (N,), or (N, C) of 0 and 1, whose classes vary in size from draw to draw.
    """
    rng = np.random.default_rng(stream(seed, "bootstrap", "images"))
    weights = np.ones((n_draws, len(labels)), dtype=np.float32)
    strata = (
        [np.flatnonzero(labels == label) for label in np.unique(labels)]
        if labels.ndim == 1
        else [np.arange(len(labels))]
    )
    for own in strata:
        n = len(own)
        if n > 1:
            weights[:, own] = rng.multinomial(n - 1, np.full(n, 1 / n), size=n_draws) * (
                n / (n - 1)
            )
    return weights


def resampled_macro_f1(
    predicted: NDArray[np.integer], labels: NDArray[np.integer], weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return (n_draws,) macro F1 over the classes present: exact, not linearised. `predicted`, `labels` (N,), `weights` (n_draws, N).

    A draw keeps the size of each class, so only the images that were taken for another class are counted anew.
    """
    n_classes = int(max(predicted.max(), labels.max())) + 1
    support = np.bincount(labels, minlength=n_classes).astype(np.float64)
    (wrong,) = np.nonzero(predicted != labels)
    own = weights[:, wrong]
    lost, gained = (
        _sums_by_group(own, labels[wrong], n_classes),
        _sums_by_group(own, predicted[wrong], n_classes),
    )
    present = support > 0
    f1 = 2 * (support - lost)[:, present] / (2 * support - lost + gained)[:, present]
    return np.asarray(f1.mean(axis=1), dtype=np.float64)


def resampled_auroc(ranking: Ranking, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (n_draws,) one-vs-rest macro AUROC over the classes present, to first order in the weights (DeLong's placement values).

    NaN where fewer than two classes are present. The first order is what its interval needs: the rest is of the order 1 / N.
    """
    area, n_class = ranking.auroc, ranking.n_class
    known = ~np.isnan(area)
    if not known.any():
        return np.full(len(weights), np.nan)
    rest = len(ranking.labels) - n_class
    moved = (ranking.placements - area[:, None]) / (
        np.where(ranking.is_class, n_class[:, None], rest[:, None]) * known.sum()
    )
    influence = np.bincount(
        ranking.order[known].ravel(), weights=moved[known].ravel(), minlength=len(ranking.labels)
    )
    return np.asarray(area[known].mean() + weights @ influence.astype(np.float32), dtype=np.float64)


def _sums_by_group(
    weights: NDArray[np.float32], groups: NDArray[np.integer], n_groups: int
) -> NDArray[np.float64]:
    """(n_draws, N) -> (n_draws, n_groups): sums of the columns of each group."""
    sums = np.zeros((len(weights), n_groups))
    order = np.argsort(groups, kind="stable")
    there, starts = np.unique(groups[order], return_index=True)
    if len(there):
        sums[:, there] = np.add.reduceat(weights[:, order], starts, axis=1)
    return sums
