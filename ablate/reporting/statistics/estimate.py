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

    @property
    def se(self) -> float:
        """Standard error of both; NaN with one seed."""
        images = 0.0 if math.isnan(self.se_images) else self.se_images
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
        if math.isnan(self.se) or self.se == 0:
            return math.nan
        lower = ndtri(alpha / 2) if math.isinf(self.df) else stdtrit(self.df, alpha / 2)
        return -float(lower) * self.se


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
    by_seeds = seed_estimates(contrasts, scores, span)
    return tuple(_with_images(estimate, replicates) for estimate in by_seeds)


def _with_images(found: SeedEstimate, replicates: NDArray[np.floating] | None) -> Estimate:
    images = image_variance(found.part, replicates)
    seeds = found.variance
    if not math.isnan(images.own) and not math.isnan(seeds):
        seeds = max(seeds, images.own)
    return Estimate(
        value=found.value,
        se_seeds=math.sqrt(seeds),
        se_images=math.sqrt(images.shared),
        df=_df_of_both(seeds, found.df, 0.0 if math.isnan(images.shared) else images.shared),
        df_seeds=found.df,
        n_seeds=found.n_seeds,
        n_cells_left_out=found.part.n_cells_left_out,
    )


def _df_of_both(seeds: float, df_seeds: float, images: float) -> float:
    """Degrees of freedom of the sum, the images' part being known.

    Satterthwaite's (1946) would have the square of the ratio. That is for intervals of 95 %: where
    the seeds agree by luck, both variance and degrees of freedom are misjudged, and far out in the
    tails, where simultaneous intervals end, they would miss up to three times as often as promised
    with three seeds. docs/statistics.md has the table.
    """
    if math.isnan(seeds):
        return 0.0
    if seeds == 0:
        return math.inf
    return (seeds + images) / seeds * df_seeds
