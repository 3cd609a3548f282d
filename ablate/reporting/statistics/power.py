"""What a design can show: the smallest effect it finds, the seeds that a question needs, luck.

All of it is for the method of `seed_variance` and `verdict`. It is known before a trial is trained,
but for the noise of a trial: that comes from a pilot, an earlier study or a guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtrinc, ndtri, stdtrit

from ablate.reporting.statistics.pooled_variance import borrowed_df

# the usual convention (Cohen, 1988): of effects this large, four in five are found
POWER = 0.8
MOST_SEEDS = 100
"""More are not worth naming."""
_NORMAL_DF = 1e6
"""From here on t is normal."""


@dataclass(frozen=True)
class Design:
    """What the precision of a comparison depends on, besides the noise and the number of seeds."""

    square: float
    """Sum of the squared weights of the arms: 2 for a pair of arms, 2 / n for n matched pairs."""
    rank: int
    """Of the family's span: how many independent comparisons lend it their variance."""
    alpha: float
    """Error that this one comparison may use: the family's over the number of comparisons."""
    has_own_splits: bool = False
    """Whether seeds test other images: more seeds then test the same images once more, so that the
    images' part of their spread does not shrink."""

    def df(self, n_seeds: int) -> float:
        """Degrees of freedom of the moderated variance with `n_seeds`; 0 with one."""
        own = n_seeds - 1
        # a family without two seeds that share a complete arm has no span, and nothing to lend
        others = max(self.rank - 1, 0) * own
        return own + borrowed_df(float(others))

    def se(self, n_seeds: int, *, sd: float, se_images: float = 0.0) -> float:
        """Standard error with `n_seeds`, where a trial varies by `sd` around its arm and seed."""
        return math.hypot(sd * math.sqrt(self.square / n_seeds), se_images)


def smallest_effect(design: Design, n_seeds: int, *, sd: float, se_images: float = 0.0) -> float:
    """Return the true difference that is found with a power of 80 %; infinite with one seed.

    By the noncentral t distribution. It takes the difference as alike in all matched cells.
    """
    df = design.df(n_seeds)
    if df <= 0:
        return math.inf
    se = design.se(n_seeds, sd=sd, se_images=se_images)
    seeds_only = design.se(n_seeds, sd=sd)
    if seeds_only > 0:
        df = df * (se / seeds_only) ** 2  # as in `estimate`: the images' part is known
    df = min(df, _NORMAL_DF)
    # scipy.special, not scipy.stats: a plan asks too, and may not take seconds to begin
    critical = -float(stdtrit(df, design.alpha / 2))
    # the noncentrality at which t falls below `critical` in 20 % of studies; that it falls below
    # -critical, a find on the wrong side, is left out: a chance of 1e-5 at most
    return float(nctdtrinc(df, 1 - POWER, critical)) * se


def seeds_to_find(
    design: Design, effect: float, *, sd: float, se_images: float = 0.0
) -> int | None:
    """Return the fewest seeds that find a true `effect` with a power of 80 %.

    None beyond `MOST_SEEDS`: also where the test images alone are too few for it.
    """
    # one by one: at most 99 of them, and every comparison of a report may ask
    for n_seeds in range(2, MOST_SEEDS + 1):
        if smallest_effect(design, n_seeds, sd=sd, se_images=se_images) <= abs(effect):
            return n_seeds
    return None


def seeds_to_settle(
    design: Design, half_width: float, *, sd: float, se_images: float = 0.0
) -> int | None:
    """Return the fewest seeds with which the interval reaches no further than `half_width`.

    That settles a question about a margin, whichever way. None beyond `MOST_SEEDS`.
    """
    for n_seeds in range(2, MOST_SEEDS + 1):
        quantile = -float(stdtrit(design.df(n_seeds), design.alpha / 2))
        if quantile * design.se(n_seeds, sd=sd, se_images=se_images) <= half_width:
            return n_seeds
    return None


def expected_optimism(sd: float, *, n_arms: int, n_seeds: int) -> float:
    """Return how much better the best of `n_arms` equal arms is expected to look by luck alone.

    Blom's approximation of the largest of n normal means (1958). In the units of `sd`, the SD of a
    trial around its arm.
    """
    if n_arms < 2:
        return 0.0
    # 3/8 and 1/4 are Blom's constants
    highest = float(ndtri((n_arms - 0.375) / (n_arms + 0.25)))
    return highest * sd / math.sqrt(n_seeds)


def luck_on_test(val: NDArray[np.float64], test: NDArray[np.float64]) -> tuple[float, float]:
    """Return (correlation, expected gain) of the best arm's luck that its test score shares.

    `val`, `test` are (arms, seeds). Trials share luck between val and test (the same weights), so
    an arm that is chosen for its val score is lucky on test too: rho times what it gained on val.
    The correlation is that of the deviations around arm and seed; (NaN, NaN) where it is unknown.
    """
    known = ~(np.isnan(val) | np.isnan(test))
    # only arms complete in all seeds: the means of the others would be over other seeds
    rows = known.all(axis=1)
    if rows.sum() < 2 or val.shape[1] < 2:
        return math.nan, math.nan
    on_val = _deviations(val[rows])
    on_test = _deviations(test[rows])
    spread = math.sqrt(float((on_val**2).sum() * (on_test**2).sum()))
    if spread == 0:
        return math.nan, math.nan
    correlation = float((on_val * on_test).sum()) / spread
    # what fitting a mean for each arm and each seed leaves
    df = (on_test.shape[0] - 1) * (on_test.shape[1] - 1)
    sd = math.sqrt(float((on_test**2).sum()) / df)
    gain = expected_optimism(sd, n_arms=int(rows.sum()), n_seeds=val.shape[1])
    # luck on val that goes with bad luck on test promises no gain, but takes none away either
    return correlation, max(correlation, 0.0) * gain


def _deviations(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is left of complete scores (arms, seeds) without their arms' and seeds' means."""
    without_arms = scores - scores.mean(axis=1, keepdims=True)
    return np.asarray(without_arms - without_arms.mean(axis=0, keepdims=True))
