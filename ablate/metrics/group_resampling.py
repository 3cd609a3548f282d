"""Scores on resampled groups of test images: a cluster bootstrap.

Images of one part, patient or place are right or wrong together. Ten photographs of a part are
hardly more evidence than one, so what is drawn again is the group: whole, and from all groups, as
another test set would have other groups, with other classes in them. `metrics.resampling` draws
images one by one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from ablate.metrics.ranking import Ranking
from ablate.metrics.resampling import sums_by_group
from ablate.streams import stream

_MOST_LEVERAGE = 0.75
_TAIL = 0.025


def group_weights(group_of: NDArray[np.integer], *, n_draws: int, seed: int) -> NDArray[np.float32]:
    """Return (n_draws, N) weights, equal within each group; `group_of` (N,) in [0, G).

    Of G groups G - 1 are drawn with replacement and weigh G / (G - 1) each, as
    `resampling.image_weights` has it for images. One group alone stays in every draw.
    """
    n_groups = int(group_of.max()) + 1
    if n_groups == 1:
        return np.ones((n_draws, len(group_of)), dtype=np.float32)
    rng = np.random.default_rng(stream(seed, "bootstrap", "groups"))
    times_drawn = rng.multinomial(n_groups - 1, np.full(n_groups, 1 / n_groups), size=n_draws)
    weights = times_drawn * (n_groups / (n_groups - 1))
    return weights.astype(np.float32)[:, group_of]


def group_resampled_macro_f1(
    predicted: NDArray[np.integer],
    labels: NDArray[np.integer],
    weights: NDArray[np.float32],
    group_of: NDArray[np.integer],
) -> NDArray[np.float64]:
    """Return (n_draws,) macro F1 over the classes that a draw has: exact, but for `widened`.

    `predicted`, `labels`, `group_of` (N,), `weights` (n_draws, N).
    """
    n_classes = int(max(predicted.max(), labels.max())) + 1
    is_hit = predicted == labels
    hits = sums_by_group(weights[:, is_hit], labels[is_hit], n_classes)
    support = sums_by_group(weights, labels, n_classes)
    n_predicted = sums_by_group(weights, predicted, n_classes)
    is_present = support > 0
    # The denominator is 0 only where the class is absent, and then its F1 is not counted.
    f1 = np.where(is_present, 2 * hits / np.maximum(support + n_predicted, 1e-12), 0.0)
    return widened(f1.sum(axis=1) / is_present.sum(axis=1), group_of)


def group_resampled_area(
    ranking: Ranking, weights: NDArray[np.float32], group_of: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return (n_draws,) mean one-vs-rest area over the classes present, to first order.

    The sums of DeLong's placement values over a group are what varies (Obuchowski, 1997,
    Biometrics 53, 567-578). Each is divided by 1 - leverage, its group's share of the images on
    its side: the area was drawn towards the group, which hides part of how far it is off (the
    jackknife's correction). NaN where fewer than two classes are present.
    """
    area = ranking.area
    is_defined = ~np.isnan(area)
    if not is_defined.any():
        return np.full(len(weights), np.nan)
    n_class = ranking.n_class[:, None]
    n_own_side = np.where(ranking.is_class, n_class, ranking.n_images - n_class)
    with np.errstate(invalid="ignore"):
        shift = (ranking.placements - area[:, None]) / (n_own_side * is_defined.sum())
    leverage = np.minimum(_in_own_group(ranking, group_of) / n_own_side, _MOST_LEVERAGE)
    shift = shift / (1 - leverage)
    influence = np.bincount(
        ranking.order[is_defined].ravel(),
        weights=shift[is_defined].ravel(),
        minlength=ranking.n_images,
    )
    drawn = (weights - 1) @ influence.astype(np.float32)
    return widened(area[is_defined].mean() + drawn.astype(np.float64), group_of)


def _in_own_group(ranking: Ranking, group_of: NDArray[np.integer]) -> NDArray[np.int64]:
    """(C, N) at each place: images of the same group on the same side, class or rest."""
    n_classes = len(ranking.order)
    n_groups = int(group_of.max()) + 1
    cell = np.arange(n_classes)[:, None] * n_groups + group_of[ranking.order]
    counts = np.zeros(ranking.order.shape, dtype=np.int64)
    for side in (ranking.is_class, ~ranking.is_class):
        of_cell = np.bincount(cell[side], minlength=n_classes * n_groups)
        counts[side] = of_cell[cell[side]]
    return counts


def widened(draws: NDArray[np.float64], group_of: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return `draws` (n_draws,) farther from their mean, by t over z: groups are few.

    Intervals take the spread over resamples as known, as that over hundreds of images is. Twenty
    groups know it with 19 degrees of freedom (Hesterberg, 2015, The American Statistician 69,
    371-386), and fewer where some are much larger than others.
    """
    factor = t_over_z(np.bincount(group_of))
    centre = draws.mean()
    return np.asarray(centre + factor * (draws - centre), dtype=np.float64)


def t_over_z(sizes: NDArray[np.integer]) -> float:
    """Return the factor of `widened`; `sizes` (G,) images of each group."""
    n_effective = sizes.sum() ** 2 / (sizes.astype(np.float64) ** 2).sum()
    df = max(n_effective - 1, 1.0)
    return float(stdtrit(df, _TAIL) / ndtri(_TAIL))
