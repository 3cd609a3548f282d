"""The formulas of a moderated variance, for one comparison (floats) and for matrices of them alike.

`seed_variance` and `every_gap` judge the same gaps, one by one and all pairs at once, and `power`
computes how precise they will be: each formula stands here once, so that the three stay equal.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

# constrained, not bound: what comes in as a float goes out as a float
Number = TypeVar("Number", float, NDArray[np.float64])

PRIOR_DF = 4
"""How much the other contrasts may say. 8 would find more and claim too often where one level is
five times as noisy as the rest; docs/statistics.md has the table."""


def borrowed_df(df_rest: Number) -> Number:
    """Degrees of freedom that the rest of a family lends: below `PRIOR_DF`, 0 where it has none.

    Half the harmonic mean of what the rest has and `PRIOR_DF`: a small family lends little, and
    however large it is, a contrast's own seeds win in the end.
    """
    return df_rest * PRIOR_DF / (df_rest + PRIOR_DF)


def moderated(own: Number, rest: Number, *, df_own: int, df_borrowed: Number) -> Number:
    """A contrast's own variance and that of the rest, weighted by their degrees of freedom."""
    return (df_borrowed * rest + df_own * own) / (df_borrowed + df_own)


def df_of_sum(seeds: Number, df_seeds: Number, images: Number) -> Number:
    """Degrees of freedom of the variance `seeds` + `images`, the images' part being known.

    Satterthwaite's (1946) would have the square of the ratio. That is for intervals of 95 %: where
    the seeds agree by luck, both variance and degrees of freedom are misjudged, and far out in the
    tails, where simultaneous intervals end, they would miss up to three times as often as promised
    with three seeds. docs/statistics.md has the table.
    """
    return (seeds + images) / seeds * df_seeds
