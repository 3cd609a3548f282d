"""An estimate with its whole sampling error, seeds and test images: one for p and interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from ablate.reporting.statistics.contrast import Contrast
from ablate.reporting.statistics.image_variance import image_variance
from ablate.reporting.statistics.pooled_variance import df_of_sum
from ablate.reporting.statistics.seed_variance import SeedEstimate, Span, seed_estimates


@dataclass(frozen=True)
class Estimate:
    """The value of a contrast and how sure it is, in units of the metric."""

    value: float
    """NaN where nothing could be compared."""
    se_seeds: float
    """Standard error that more seeds would shrink; NaN with one seed."""
    se_images: float
    """Standard error that more test images would shrink; NaN without stored predictions."""
    df: float
    """Of the whole error; infinite where only images vary, 0 with one seed."""
    df_seeds: float
    """Of the seeds' part alone."""
    n_seeds: int
    n_cells_left_out: int
    """Matched cells that a failed trial took away."""
    se_own: float = 0.0
    """Part of `se_seeds`: what single runs do to single images, or which images a seed tested."""

    @property
    def se(self) -> float:
        """Standard error of both; NaN with one seed."""
        images = 0.0 if math.isnan(self.se_images) else self.se_images
        # NaN with one seed, whose error is unknown, however well the images' part is known
        return math.hypot(self.se_seeds, images)

    @property
    def p(self) -> float:
        """Two-sided p of this one comparison; NaN where the error is unknown."""
        if math.isnan(self.se) or math.isnan(self.value):
            return math.nan
        if self.se == 0:
            # fitted classifiers give every seed the same score: no error is left to test against
            return math.nan
        statistic = abs(self.value) / self.se
        if math.isinf(self.df):
            return float(2 * ndtr(-statistic))
        return float(2 * stdtr(self.df, -statistic))

    def half_width(self, alpha: float) -> float:
        """Half of the two-sided interval with error `alpha`; NaN where the error is unknown."""
        # an interval of width 0 would claim certainty where the method has nothing to measure it by
        if math.isnan(self.se) or self.se == 0:
            return math.nan
        # scipy.special, not scipy.stats, whose checks take longer than the quantile
        if math.isinf(self.df):
            lower = float(ndtri(alpha / 2))
        else:
            lower = float(stdtrit(self.df, alpha / 2))
        return -lower * self.se


def estimates(
    contrasts: Sequence[Contrast],
    scores: NDArray[np.float64],
    replicates: NDArray[np.floating] | None,
    *,
    span: Span | None = None,
) -> tuple[Estimate, ...]:
    """Estimate the contrasts of one family, or contrasts that stand in the family of `span`.

    `scores` is (arms, seeds), NaN where a trial has none; `replicates` (arms, seeds, draws) are the
    same scores on resampled test images. The contrasts lend each other their variance
    (`seed_variance`), so which of them stand together matters.
    """
    whole = []
    # seeds first: the images' part is computed on the cells and seeds that were chosen there
    for by_seeds in seed_estimates(contrasts, scores, span):
        whole.append(_with_images(by_seeds, replicates))
    return tuple(whole)


def _with_images(by_seeds: SeedEstimate, replicates: NDArray[np.floating] | None) -> Estimate:
    images = image_variance(by_seeds.part, replicates)
    seeds = by_seeds.variance
    # a floor, not a sum: what single runs do to single images is part of what seeds differ by
    if not math.isnan(images.own) and not math.isnan(seeds):
        seeds = max(seeds, images.own)
    return Estimate(
        value=by_seeds.value,
        se_seeds=math.sqrt(seeds),
        se_images=math.sqrt(images.shared),
        df=_df_of_both(seeds, by_seeds.df, images.shared),
        df_seeds=by_seeds.df,
        n_seeds=by_seeds.n_seeds,
        n_cells_left_out=by_seeds.part.n_cells_left_out,
        se_own=0.0 if math.isnan(images.own) else math.sqrt(images.own),
    )


def _df_of_both(seeds: float, df_seeds: float, images: float) -> float:
    """Degrees of freedom of the whole error; see `df_of_sum`."""
    # one seed: an error that nobody knows
    if math.isnan(seeds):
        return 0.0
    # fitted at once, classifiers do not differ by seed: what is left is the images' part, known
    if seeds == 0:
        return math.inf
    # without stored predictions there is no part of the images to add
    if math.isnan(images):
        images = 0.0
    return df_of_sum(seeds, df_seeds, images)
