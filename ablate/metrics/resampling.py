"""Scores on resampled test images, the same draw for every run: differences stay paired by image.

A draw is a row of weights, one per image. Images are drawn within their stratum, for one label
within their class: splits are stratified, and macro means need every class. Of the n images of a
stratum n - 1 are drawn with replacement and weigh n / (n - 1) each, which makes the spread of a
mean that of s² / n, not of (n - 1) s² / n².
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ablate.metrics.ranking import Ranking
from ablate.streams import stream
from ablate.targets import Targets


def image_weights(targets: Targets, *, n_draws: int, seed: int) -> NDArray[np.float32]:
    """Return (n_draws, N) weights; each row sums to the images of each stratum.

    A stratum of one image keeps it in every draw.
    """
    rng = np.random.default_rng(stream(seed, "bootstrap", "images"))
    weights = np.ones((n_draws, len(targets)), dtype=np.float32)
    # the order of the strata is part of the draw: another one would change every interval
    for rows in targets.strata():
        n = len(rows)
        if n > 1:
            # counts instead of drawn indices: a weighted score is one matrix product for all draws
            times_drawn = rng.multinomial(n - 1, np.full(n, 1 / n), size=n_draws)
            weights[:, rows] = times_drawn * (n / (n - 1))
    return weights


def resampled_area(ranking: Ranking, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (n_draws,) mean one-vs-rest area over the classes present, to first order.

    The first order in the weights is DeLong's placement values, and what an interval needs: the
    rest is of the order 1 / N. NaN where fewer than two classes are present.
    """
    area = ranking.area
    n_class = ranking.n_class
    is_defined = ~np.isnan(area)
    if not is_defined.any():
        return np.full(len(weights), np.nan)
    n_rest = ranking.n_images - n_class
    # a placement is a mean over the other side, and the area a mean over the own side of those
    n_own_side = np.where(ranking.is_class, n_class[:, None], n_rest[:, None])
    shift = (ranking.placements - area[:, None]) / (n_own_side * is_defined.sum())
    # An image moves the area of every class: its shifts are summed over the rows of the ranking.
    influence = np.bincount(
        ranking.order[is_defined].ravel(),
        weights=shift[is_defined].ravel(),
        minlength=ranking.n_images,
    )
    mean = area[is_defined].mean()
    # no unweighted sum to subtract: placements have the area as their mean, so the influences of a
    # class's images sum to 0, and those of the rest as well
    return np.asarray(mean + weights @ influence.astype(np.float32), dtype=np.float64)


def sums_by_group(
    weights: NDArray[np.float32], groups: NDArray[np.integer], n_groups: int
) -> NDArray[np.float64]:
    """(n_draws, N) -> (n_draws, n_groups): sums of the columns of each group."""
    # reduceat over sorted columns: a matrix product with one-hot groups would be mostly zeros
    sums = np.zeros((len(weights), n_groups))
    order = np.argsort(groups, kind="stable")
    present, starts = np.unique(groups[order], return_index=True)
    if len(present):
        sums[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
    return sums
