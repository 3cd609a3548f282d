"""How much other test images would change an estimate: from scores on resampled images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.statistics.contrast import CompletePart


@dataclass(frozen=True)
class ImageVariance:
    """Variance of an estimate by the draw of test images, in two parts (crossed random effects)."""

    shared: float
    """What the runs of all seeds have in common: more seeds would not shrink it."""
    own: float
    """What one run does to one image, averaged over the seeds. It is part of what seeds differ by,
    so it is the floor of the variance by seeds: with two seeds that may be tiny by luck."""


UNKNOWN = ImageVariance(shared=math.nan, own=math.nan)
"""Where predictions of a run are not available."""


def image_variance(part: CompletePart, replicates: NDArray[np.floating] | None) -> ImageVariance:
    """Return both parts for a contrast. `replicates` is (arms, seeds, draws), NaN where unknown.

    With one seed the two cannot be told apart, and all of it counts as shared.
    """
    if replicates is None or part.n_cells == 0:
        return UNKNOWN
    # arms of weight 0 may lack predictions, and 0 * NaN is NaN
    support = part.weights != 0
    on_images = replicates[np.ix_(support, part.seeds)]
    drawn = np.tensordot(part.weights[support], on_images, axes=1)  # (seeds, draws)
    if np.isnan(drawn).any():
        return UNKNOWN
    mean = drawn.mean(axis=0)
    # of the estimate, a mean over seeds: shared part + own part / seeds
    whole = float(mean.var(ddof=1))
    n_seeds = len(drawn)
    if n_seeds < 2:
        return ImageVariance(shared=whole, own=0.0)
    around_mean = drawn - mean
    # deviations from a mean of S seeds have (S - 1) / S of the variance: S - 1 undoes that, and the
    # other S makes it the variance of a mean over the seeds
    own = float(around_mean.var(axis=1, ddof=1).sum()) / (n_seeds - 1) / n_seeds
    # a difference of two estimates, which may fall below 0 where nothing is shared
    return ImageVariance(shared=max(whole - own, 0.0), own=own)
