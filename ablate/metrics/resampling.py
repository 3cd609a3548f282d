"""Scores of a classifier on resampled test images: the same draw of images for every run, so that differences stay paired by image.

A draw is a row of weights, one an image. Images are drawn within their class, because splits are stratified and macro means need every class: of the n images
of a class n - 1 are drawn with replacement and weigh n / (n - 1) each, which makes the spread of a mean that of s² / n, not of (n - 1) s² / n².
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ablate.streams import stream


def image_weights(labels: NDArray[np.integer], *, n_draws: int, seed: int) -> NDArray[np.float32]:
    """Return (n_draws, N) weights; each row sums to the images of each class. A class of one image keeps it in every draw."""
    rng = np.random.default_rng(stream(seed, "bootstrap", "images"))
    weights = np.ones((n_draws, len(labels)), dtype=np.float32)
    for label in np.unique(labels):
        (own,) = np.nonzero(labels == label)
        n = len(own)
        if n > 1:
            weights[:, own] = rng.multinomial(n - 1, np.full(n, 1 / n), size=n_draws) * (n / (n - 1))
    return weights


def resampled_macro_f1(predicted: NDArray[np.integer], labels: NDArray[np.integer], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (n_draws,) macro F1 over the classes present: exact, not linearised. `predicted`, `labels` (N,), `weights` (n_draws, N)."""
    n_classes = int(max(predicted.max(), labels.max())) + 1
    n_predicted = _sums_by_group(weights, predicted, n_classes)
    support = _sums_by_group(weights, labels, n_classes)
    (right,) = np.nonzero(predicted == labels)
    hits = _sums_by_group(weights[:, right], labels[right], n_classes)
    present = support[0] > 0
    f1 = 2 * hits[:, present] / (support[:, present] + n_predicted[:, present])
    return np.asarray(f1.mean(axis=1), dtype=np.float64)


def resampled_auroc(probabilities: NDArray[np.floating], labels: NDArray[np.integer], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (n_draws,) one-vs-rest macro AUROC over the classes present, to first order in the weights (DeLong's placement values).

    NaN where fewer than two classes are present. The first order is what its interval needs: the rest is of the order 1 / N.
    """
    present = np.unique(labels)
    if len(present) < 2:
        return np.full(len(weights), np.nan)
    influence, area = np.zeros(len(labels)), 0.0
    for c in present:
        is_class = labels == c
        placed_class, placed_rest = placement_values(probabilities[:, c], is_class)
        area += placed_class.mean() / len(present)
        influence[is_class] += (placed_class - placed_class.mean()) / (is_class.sum() * len(present))
        influence[~is_class] += (placed_rest - placed_rest.mean()) / ((~is_class).sum() * len(present))
    return np.asarray(area + weights @ influence.astype(np.float32), dtype=np.float64)


def placement_values(scores: NDArray[np.floating], is_class: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each image of the class the share of the rest ranked below it, and for each of the rest the share of the class ranked above it; ties count half.

    Both have the AUROC as their mean.
    """
    own, rest = np.sort(scores[is_class]), np.sort(scores[~is_class])
    below = (np.searchsorted(rest, scores[is_class], "left") + np.searchsorted(rest, scores[is_class], "right")) / (2 * len(rest))
    above = 1 - (np.searchsorted(own, scores[~is_class], "left") + np.searchsorted(own, scores[~is_class], "right")) / (2 * len(own))
    return below, above


def _sums_by_group(weights: NDArray[np.float32], groups: NDArray[np.integer], n_groups: int) -> NDArray[np.float64]:
    """(n_draws, N) -> (n_draws, n_groups): sums of the columns of each group."""
    sums = np.zeros((len(weights), n_groups))
    order = np.argsort(groups, kind="stable")
    there, starts = np.unique(groups[order], return_index=True)
    if len(there):
        sums[:, there] = np.add.reduceat(weights[:, order], starts, axis=1)
    return sums
