"""Every arm against every other at once: what `estimates` says of each pair, as matrices.

Pair by pair, a study of 2,000 arms has two million estimates of a tenth of a millisecond each.
`tests/reporting/statistics/test_every_gap.py` holds this against `estimates`, pair by pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.statistics.pooled_variance import borrowed_df, df_of_sum, moderated
from ablate.reporting.statistics.seed_variance import Span

Matrix = NDArray[np.float64]
"""(arms, others) of a block."""


@dataclass(frozen=True)
class GapBlock:
    """Arms less others, for all pairs of them."""

    arms: NDArray[np.int64]
    others: NDArray[np.int64]
    """Places of the arms in the study."""
    value: Matrix
    """Mean over the seeds that both have: at least two."""
    se: Matrix
    """Of seeds and images together."""
    df: Matrix
    """Of the whole error; infinite where only images vary."""

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Whether there is an error to test against."""
        return np.asarray(self.se > 0)


def gap_blocks(
    scores: NDArray[np.float64], replicates: NDArray[np.floating] | None, span: Span
) -> Iterator[GapBlock]:
    """Yield the gaps of all ordered pairs that share two seeds, each once.

    `scores` is (arms, seeds), NaN where a trial has none; `replicates` (arms, seeds, draws). The
    gaps stand in the family of `span`. Arms that miss the same seeds are in one block: with all
    others they share the same seeds, so no mask is needed within it.
    """
    # nearly always one pattern, "nothing failed", and so one block for the whole study
    patterns, group = np.unique(~np.isnan(scores), axis=0, return_inverse=True)
    for first, has_first in enumerate(patterns):
        for second, has_second in enumerate(patterns):
            # ravel, because numpy 2.0 alone returns the inverse as a column
            arms = np.flatnonzero(group.ravel() == first)
            others = np.flatnonzero(group.ravel() == second)
            seeds = np.flatnonzero(has_first & has_second)
            # with one seed there is no error, and nothing follows from the gap
            if len(seeds) > 1:
                yield _block(_Pairs(arms, others, seeds), scores, replicates, span)


@dataclass(frozen=True)
class _Pairs:
    """The pairs of a block, and the seeds in which all of them are complete."""

    arms: NDArray[np.int64]
    others: NDArray[np.int64]
    seeds: NDArray[np.int64]

    def rows(self, values: NDArray[np.floating]) -> tuple[Matrix, Matrix]:
        """Return `values` (arms, seeds, ...) of arms and of others, in the seeds."""
        # float64 before any difference: replicates are float32, and near-equal scores would cancel
        of_arms = values[np.ix_(self.arms, self.seeds)].astype(np.float64)
        of_others = values[np.ix_(self.others, self.seeds)].astype(np.float64)
        return of_arms, of_others


def _block(
    pairs: _Pairs, scores: NDArray[np.float64], replicates: NDArray[np.floating] | None, span: Span
) -> GapBlock:
    # 1. by seeds: the gap's own variance, moderated by the rest of its family
    value, squares = _over_seeds(*pairs.rows(scores))
    n_seeds = len(pairs.seeds)
    df_own = n_seeds - 1
    # as in `seed_estimates`: per unit weight, and a gap's weights +1 and -1 have a square of 2
    own = squares / df_own / 2
    rest, df_rest = _beside(pairs, span)
    lent_df = borrowed_df(df_rest)
    # back from unit weight to a gap (a square of 2), and from one seed to their mean
    variance = moderated(own, rest, df_own=df_own, df_borrowed=lent_df) * 2 / n_seeds
    df = lent_df + df_own
    # 2. by test images, where predictions are stored
    shared = np.zeros_like(variance)
    if replicates is not None:
        shared, floor = _image_variances(*pairs.rows(replicates))
        # as in `estimates`: the runs' own part is a floor, the shared part is added
        variance = np.maximum(variance, floor)
    return GapBlock(
        arms=pairs.arms,
        others=pairs.others,
        value=value,
        se=np.sqrt(variance + shared),
        df=_df_of_both(variance, df, shared),
    )


def _beside(pairs: _Pairs, span: Span) -> tuple[Matrix, Matrix]:
    """Variance per unit weight of the rest of the span beside each gap, and its df: `Span.beside`.

    A gap with an arm that is not complete has no part in the span: the rest is all of it.
    """
    n_seeds = span.scores.shape[1]
    shape = (len(pairs.arms), len(pairs.others))
    # an empty span lends nothing
    if n_seeds < 2:
        return np.zeros(shape), np.zeros(shape)
    # both arms complete, so the gap itself is a direction of the span, and is taken out of it
    is_inside = span.arms[pairs.arms][:, None] & span.arms[pairs.others][None, :]
    _, squares = _over_seeds(span.scores[pairs.arms], span.scores[pairs.others])
    along = np.where(is_inside, squares / (n_seeds - 1) / 2, 0.0)
    rank = np.where(is_inside, span.rank - 1, span.rank)
    # max: what is left may come out a rounding error below 0
    variance = np.maximum(span.total - along, 0.0) / np.maximum(rank, 1)
    # a span of this one gap leaves nothing beside it
    is_left = rank >= 1
    return np.where(is_left, variance, 0.0), np.where(is_left, rank * (n_seeds - 1.0), 0.0)


def _over_seeds(of_arms: Matrix, of_others: Matrix) -> tuple[Matrix, Matrix]:
    """(a, seeds) and (b, seeds) -> (a, b) mean of the gaps, and sum of squares around it.

    Seed by seed, as there are few: the way of `_squares_over_draws` would leave rounding errors
    where two arms gain alike in every seed, and a tiny error looks like great certainty.
    """
    n_seeds = of_arms.shape[1]
    shape = (len(of_arms), len(of_others))
    total = np.zeros(shape)
    for seed in range(n_seeds):
        total += of_arms[:, seed, None] - of_others[None, :, seed]
    mean = total / n_seeds
    squares = np.zeros(shape)
    for seed in range(n_seeds):
        squares += (of_arms[:, seed, None] - of_others[None, :, seed] - mean) ** 2
    return mean, squares


def _squares_over_draws(of_arms: Matrix, of_others: Matrix) -> Matrix:
    """(a, draws) and (b, draws) -> (a, b) sum of squares of the gaps around their mean.

    All follow from inner products: |b - a|^2 = |b|^2 + |a|^2 - 2 ab.
    """
    # centred first: the means are far larger than the spread, and would eat its digits
    first = of_arms - of_arms.mean(axis=1, keepdims=True)
    second = of_others - of_others.mean(axis=1, keepdims=True)
    squares_of_first = (first**2).sum(axis=1)[:, None]
    squares_of_second = (second**2).sum(axis=1)[None, :]
    # rounding may leave a difference of equal rows below 0
    squares = squares_of_first + squares_of_second - 2 * first @ second.T
    return np.asarray(np.maximum(squares, 0.0))


def _image_variances(of_arms: Matrix, of_others: Matrix) -> tuple[Matrix, Matrix]:
    """Shared and own part of `image_variance`, from (a, seeds, draws) and (b, seeds, draws).

    Both are 0 where a prediction is not known, which leaves a gap with the error of the seeds.
    """
    n_seeds, n_draws = of_arms.shape[1:]
    mean_of_arms = of_arms.mean(axis=1)
    mean_of_others = of_others.mean(axis=1)
    # by draw, the mean over seeds: how the estimate moves with the images
    whole = _squares_over_draws(mean_of_arms, mean_of_others) / (n_draws - 1)
    own = np.zeros_like(whole)
    # by draw, each seed around that mean: how single runs move beside the others
    for seed in range(n_seeds):
        around_arms = of_arms[:, seed] - mean_of_arms
        around_others = of_others[:, seed] - mean_of_others
        own += _squares_over_draws(around_arms, around_others) / (n_draws - 1)
    own /= (n_seeds - 1) * n_seeds
    is_unknown = np.isnan(whole) | np.isnan(own)
    shared = np.where(is_unknown, 0.0, np.maximum(whole - own, 0.0))
    return shared, np.where(is_unknown, 0.0, own)


def _df_of_both(seeds: Matrix, df_seeds: Matrix, images: Matrix) -> Matrix:
    """See `df_of_sum`; infinite where seeds do not vary."""
    # those divide by 0 here, and get their own answer below
    with np.errstate(divide="ignore", invalid="ignore"):
        df = df_of_sum(seeds, df_seeds, images)
    return np.where(seeds == 0, np.inf, df)
