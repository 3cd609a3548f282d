"""How much other seeds would change an estimate: the seed is the unit, its variance moderated.

Three seeds leave two degrees of freedom, too few to claim anything. So the variance of a contrast
is moderated by that of the other contrasts of its family (an empirical-Bayes t: Smyth, 2004,
Statistical Applications in Genetics and Molecular Biology 3(1), article 3), with a prior of fixed
weight: what the others say counts as at most `pooled_variance.PRIOR_DF` degrees of freedom. A
contrast that really is noisier than the others keeps most of its own variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.statistics.contrast import (
    CompletePart,
    Contrast,
    complete_arms,
    complete_part,
)
from ablate.reporting.statistics.pooled_variance import borrowed_df, moderated


@dataclass(frozen=True)
class SeedEstimate:
    """A contrast and the sampling error that more seeds would shrink."""

    part: CompletePart
    value: float
    """NaN where no cell is complete."""
    variance: float
    """Of `value`; NaN with one seed."""
    df: float
    """Degrees of freedom of `variance`; 0 with one seed."""

    @property
    def n_seeds(self) -> int:
        return len(self.part.seeds)


@dataclass(frozen=True)
class Span:
    """All contrasts of a family on the arms and seeds that are complete together.

    Made once a family, and asked for each contrast: what do the others say of the noise?
    """

    arms: NDArray[np.bool_]
    """(arms,) those that are complete in `seeds`."""
    scores: NDArray[np.float64]
    """(arms, seeds) of the complete ones, 0 elsewhere."""
    total: float
    """Sum of squares of the span per degree of freedom of the seeds: rank times the variance, where
    all directions are equally noisy."""
    rank: int

    @classmethod
    def of(cls, contrasts: Sequence[Contrast], scores: NDArray[np.float64]) -> Span:
        """Gather a family. Without two seeds that share a complete arm the span is empty."""
        # one block without a hole for the whole family: contrasts of different seeds share no span
        complete = complete_arms(scores)
        if complete is None or not contrasts:
            return cls(np.zeros(len(scores), np.bool_), np.zeros((len(scores), 0)), 0.0, 0)
        arms, seeds = complete
        # zeros instead of NaN: the weights of arms that are not complete are 0 as well
        on_seeds = np.where(arms[:, None], scores, 0.0)[:, seeds]
        weights = np.array([_weights_on(contrast, arms) for contrast in contrasts])
        # an orthonormal basis of the span turns its squares into independent ones
        _, singular, right = np.linalg.svd(weights, full_matrices=False)
        # relative to the largest; 1e-300 for a family whose contrasts have no complete cell at all
        rank = int((singular > 1e-9 * max(singular[0], 1e-300)).sum())
        total = _square(right[:rank] @ on_seeds)
        return cls(arms, on_seeds, total, rank)

    def beside(self, contrast: Contrast) -> _Rest:
        """The rest of the span beside one of its contrasts."""
        weights = _weights_on(contrast, self.arms)
        square = float(weights @ weights)
        if square == 0:
            # the contrast has no part in the span, so all of that is "the others"
            return self._rest(along=0.0, rank=self.rank)
        # the span's squares in the contrast's own direction, as for a basis vector of length 1
        along = _square(weights @ self.scores) / square
        return self._rest(along=along, rank=self.rank - 1)

    def _rest(self, *, along: float, rank: int) -> _Rest:
        n_seeds = self.scores.shape[1]
        if rank < 1 or n_seeds < 2:
            return _NOTHING
        # max: for a family of one direction what is left is a rounding error, maybe below 0
        variance = max(self.total - along, 0.0) / rank
        return _Rest(variance, float(rank * (n_seeds - 1)))


def seed_estimates(
    contrasts: Sequence[Contrast], scores: NDArray[np.float64], span: Span | None = None
) -> tuple[SeedEstimate, ...]:
    """Estimate contrasts on `scores` (arms, seeds; NaN where a trial has none).

    They are a family of their own, or stand in that of `span`. The variance of a contrast with
    weights w over S seeds is v * w'w / S with v = (d_e * o + d * u) / (d_e + d): u is its own
    variance per unit weight with d = S - 1 degrees of freedom, o that of the rest of the family's
    span of rank r, worth d_e = `borrowed_df` of (r - 1) * d.
    """
    family = span
    if family is None:
        family = Span.of(contrasts, scores)
    found = []
    for contrast in contrasts:
        # a contrast uses its own complete part, which may have more cells and seeds than the span
        part = complete_part(contrast, scores)
        found.append(_estimate(part, scores, rest=family.beside(contrast)))
    return tuple(found)


@dataclass(frozen=True)
class _Rest:
    """Variance per unit weight of the other contrasts of a family."""

    variance: float
    df: float


_NOTHING = _Rest(variance=0.0, df=0.0)


def _square(values: NDArray[np.float64]) -> float:
    """Sum of squares around the means over the seeds (last axis), per degree of freedom."""
    deviations = values - values.mean(axis=-1, keepdims=True)
    return float((deviations**2).sum() / (values.shape[-1] - 1))


def _weights_on(contrast: Contrast, arms: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the weights from the cells whose arms are all in `arms`; zeros where there is none."""
    cells = np.asarray(contrast.cells, dtype=np.int64).reshape(-1, len(contrast.signs))
    # cells with a failed arm go here, from the span alone: an estimate chooses for itself
    kept = np.asarray(arms[cells].all(axis=1))
    if not kept.any():
        return np.zeros(len(arms))
    return contrast.weights(len(arms), kept=kept)


def _estimate(part: CompletePart, scores: NDArray[np.float64], *, rest: _Rest) -> SeedEstimate:
    if part.n_cells == 0:
        return SeedEstimate(part, value=math.nan, variance=math.nan, df=0.0)
    values = part.by_seed(scores)
    df = len(values) - 1
    # one seed: a value without an error
    if df < 1:
        return SeedEstimate(part, value=float(values.mean()), variance=math.nan, df=0.0)
    square = float((part.weights**2).sum())
    # per unit weight: a gap of two arms and a mean over six pairs become comparable
    own = float(values.var(ddof=1)) / square
    lent_df = borrowed_df(rest.df)
    per_unit_weight = moderated(own, rest.variance, df_own=df, df_borrowed=lent_df)
    return SeedEstimate(
        part,
        value=float(values.mean()),
        variance=per_unit_weight * square / len(values),
        df=lent_df + df,
    )
