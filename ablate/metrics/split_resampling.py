"""Resampled images where each seed tests other ones: an image weighs the same wherever it stands.

Folds of one round have no test image in common, those of two rounds have, and splits that are drawn
anew overlap by chance. So each image, or group of images, draws one positive number a resample, by
its name, and a split's weights are these numbers in proportion (the Bayesian bootstrap: Rubin,
1981, The Annals of Statistics 9, 130-134). What two splits share then moves both alike, and what
they do not share moves them apart.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ablate.metrics.group_resampling import t_over_z
from ablate.streams import stream
from ablate.targets import Targets

_MOST_SHARED = 0.9


@dataclass(frozen=True)
class NamedDraws:
    """One positive number for each name and resample, the same whenever it is asked for."""

    n_draws: int
    seed: int
    _known: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def of(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Return (n_draws, N) exponential numbers."""
        for name in names:
            if name not in self._known:
                key = stream(self.seed, "bootstrap", "name", name)
                rng = np.random.Generator(np.random.Philox(key))
                self._known[name] = rng.standard_exponential(self.n_draws, dtype=np.float32)
        return np.stack([self._known[name] for name in names], axis=1)


def split_image_weights(draws: NDArray[np.float32], targets: Targets) -> NDArray[np.float32]:
    """Return (n_draws, N) weights of a split's images; rows sum to the images of each stratum.

    `draws` (n_draws, N) are those of the images' names. Weights are stretched around 1, so that a
    mean over a stratum of n images spreads by s² / n; some may fall below 0 where a stratum has
    few. A stratum of one image keeps it in every draw.
    """
    weights = np.ones_like(draws)
    for rows in targets.strata():
        if len(rows) > 1:
            in_proportion = _in_proportion(draws[:, rows])
            weights[:, rows] = 1 + stretch(len(rows)) * (in_proportion - 1)
    return weights


def split_group_weights(
    draws: NDArray[np.float32], group_of: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Return (n_draws, N) weights of a split's images, equal within each group; all positive.

    `draws` (n_draws, G) are those of the groups' names, `group_of` (N,) in [0, G). Scores spread by
    less than they should: see `group_factor`.
    """
    return _in_proportion(draws)[:, group_of]


def group_factor(of_split: NDArray[np.integer], of_all: NDArray[np.integer]) -> float:
    """Return by how much scores on `split_group_weights` must move away from their mean.

    `of_split` (G,) images of each group that a split tests; `of_all` of each that any split tests:
    their number says how well the spread is known, which `group_resampling.widened` has taken from
    the groups of one split.
    """
    if len(of_split) < 2:
        return 1.0
    return stretch(len(of_split)) * t_over_z(of_all) / t_over_z(of_split)


def stretch(n: int) -> float:
    """Return what makes the spread of a mean over n exponential weights that of s² / n."""
    # in proportion, they make it (n - 1) s² / (n (n + 1))
    return math.sqrt((n + 1) / (n - 1))


def _in_proportion(draws: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights with a mean of 1 in each draw."""
    return np.asarray(draws / draws.mean(axis=1, keepdims=True), dtype=np.float32)


def repeats(of_splits: Sequence[Mapping[str, int]]) -> float:
    """Return the variance of a mean over splits that share groups, over that of apart ones, less 1.

    `of_splits` are group -> its test images. Two splits correlate by the share of images that they
    have in common, rho on average. The variance between S splits then shows (1 - rho) of all of it,
    and their mean has (1 + (S - 1) rho) / S of it (Nadeau and Bengio, 2003, Machine Learning 52,
    239-281). 0 where no group is tested twice.
    """
    n_splits = len(of_splits)
    if n_splits < 2:
        return 0.0
    n_tests: Counter[str] = Counter()
    size_of: dict[str, int] = {}
    for sizes in of_splits:
        n_tests.update(sizes.keys())
        size_of |= sizes
    n_shared = 0
    for group, n in n_tests.items():
        n_shared += size_of[group] * n * (n - 1)
    mean_size = sum(sum(sizes.values()) for sizes in of_splits) / n_splits
    rho = n_shared / (n_splits * (n_splits - 1) * mean_size)
    # all the same images: nothing of their variance shows between splits
    rho = min(rho, _MOST_SHARED)
    return (1 + (n_splits - 1) * rho) / (1 - rho) - 1
