"""What a design can show: the smallest effect it finds, the seeds for a gap, and luck."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import norm

POWER = 0.8
ALPHA = 0.05
MOST_SEEDS = 100
"""More are not worth naming."""


def expected_optimism(sd: float, *, n_arms: int, n_seeds: int) -> float:
    """How much better the best of `n_arms` equal arms is expected to look by luck alone.

    Blom's approximation of the largest of n normal means.
    """
    if n_arms < 2:
        return 0.0
    return float(norm.ppf((n_arms - 0.375) / (n_arms + 0.25))) * sd / math.sqrt(n_seeds)


def minimum_detectable_effect(se: float, *, df: float, n_tests: int) -> float:
    """The true difference, in units of `se`, that a test among `n_tests` finds with power 80 %.

    Two-sided, at 5 %. Infinite without degrees of freedom.
    """
    return float(_factor(np.asarray(df), n_tests=n_tests)) * se if df > 0 else math.inf


def seeds_needed(gap: float, se: float, *, df: float, n_seeds: int, n_tests: int) -> int | None:
    """The fewest seeds with which the smallest detectable effect is no larger than `gap`.

    `se` and `df` are those of `n_seeds`. None beyond `MOST_SEEDS`.
    """
    if n_seeds < 2 or math.isnan(se) or math.isnan(gap) or gap == 0:
        return None
    n = np.arange(2, MOST_SEEDS + 1)
    detectable = _factor(df * (n - 1) / (n_seeds - 1), n_tests=n_tests) * se * np.sqrt(n_seeds / n)
    enough = n[detectable <= abs(gap)]
    return int(enough[0]) if len(enough) else None


def _factor(df: NDArray[np.floating], *, n_tests: int) -> NDArray[np.float64]:
    """Standard errors that a true effect must measure."""
    return np.asarray(stdtrit(df, 1 - ALPHA / (2 * n_tests)) + stdtrit(df, POWER))
