"""Shares of variance and the noise of a study, by least squares.

Also where cells are merged, excluded or failed. The model of a score is arm + seed + noise; the
seed stands for what its draws have in common in every arm, and drops out of paired differences. A
merged arm stands at several levels of an axis: its row of the design is their mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lstsq
from scipy.stats import chi2
from scipy.stats import f as f_distribution

Columns = Mapping[str, NDArray[np.float64]]
"""Axis -> (arms, levels) rows that sum to 1: where in the axis an arm stands."""
EXCHANGEABLE_FROM = 0.05
"""Below this p the blocks of a seed are not taken as independent."""


@dataclass(frozen=True)
class Noise:
    """What is left of a score when its arm and its seed are known."""

    sd: float
    """NaN with one seed."""
    df: int


@dataclass(frozen=True)
class SeedCheck:
    """Whether the effects of levels differ between seeds: an F test of level x seed."""

    f: float
    df: tuple[int, int]
    p: float
    """NaN where the design leaves nothing to test with."""

    @property
    def is_seed_the_unit(self) -> bool:
        """Whether seeds disagree about the levels, so that each counts as one independent unit."""
        return self.p < EXCHANGEABLE_FROM


def noise(scores: NDArray[np.float64]) -> Noise:
    """SD of a trial around its arm and its seed.

    `scores` (arms, seeds), NaN where a trial has none.
    """
    y, arms, seeds = _long(scores)
    fit = _fit(y, _dummies(arms), _dummies(seeds))
    return Noise(math.sqrt(fit.squares / fit.df) if fit.df > 0 else math.nan, fit.df)


def typical_variance(scores: NDArray[np.float64]) -> float:
    """Variance of a trial around its arm: the median over arms, unbiased for normal noise.

    NaN with one seed. A mean would be that of the few arms whose training falls apart.
    """
    n = (~np.isnan(scores)).sum(axis=1)
    known = n > 1
    if not known.any():
        return math.nan
    spare = n[known] - 1
    return float(np.median(np.nanvar(scores[known], axis=1, ddof=1) * spare / chi2.median(spare)))


def seed_check(scores: NDArray[np.float64], columns: Columns) -> SeedCheck:
    """Test level x seed of all axes together."""
    y, arms, seeds = _long(scores)
    small = [_dummies(arms), _dummies(seeds)]
    crossed = [_products(own[arms], small[1]) for own in columns.values()]
    without, with_crossed = _fit(y, *small), _fit(y, *small, *crossed)
    spent = without.df - with_crossed.df
    if spent < 1 or with_crossed.df < 1 or with_crossed.squares <= 0:
        return SeedCheck(math.nan, (spent, with_crossed.df), math.nan)
    f = ((without.squares - with_crossed.squares) / spent) / (
        with_crossed.squares / with_crossed.df
    )
    return SeedCheck(
        f, (spent, with_crossed.df), float(f_distribution.sf(f, spent, with_crossed.df))
    )


def omega_squared(scores: NDArray[np.float64], columns: Columns) -> dict[tuple[str, ...], float]:
    """Share of the variance of all trials that an axis or an interaction of two explains.

    In [0, 1].

    Beyond what noise would explain. Type II sums of squares (each axis given the others, each
    interaction given the axes), against the noise within arm and seed. NaN with one seed, and where
    the design cannot tell a term from the others.
    """
    y, arms, seeds = _long(scores)
    left = noise(scores)
    error, total = left.sd**2, float(((y - y.mean()) ** 2).sum()) if len(y) else 0.0
    mains = {axis: own[arms] for axis, own in columns.items()}
    base = [_dummies(seeds), *mains.values()]
    full = _fit(y, *base)
    shares: dict[tuple[str, ...], float] = {}
    for axis in columns:
        shares[(axis,)] = _share(
            _fit(y, _dummies(seeds), *(own for name, own in mains.items() if name != axis)),
            full,
            error=error,
            total=total,
        )
    for one, other in _pairs(list(columns)):
        shares[(one, other)] = _share(
            full, _fit(y, *base, _products(mains[one], mains[other])), error=error, total=total
        )
    return shares


@dataclass(frozen=True)
class _Fit:
    squares: float
    df: int


def _fit(y: NDArray[np.float64], *parts: NDArray[np.float64]) -> _Fit:
    """Residual sum of squares and degrees of freedom of y on an intercept and `parts`."""
    if not len(y):
        return _Fit(0.0, 0)
    design = np.concatenate([np.ones((len(y), 1)), *parts], axis=1)
    solution, _, rank, _ = lstsq(
        design, y, cond=1e-9, lapack_driver="gelsy"
    )  # several times as fast as by singular values
    return _Fit(float(((y - design @ solution) ** 2).sum()), len(y) - int(rank))


def _share(small: _Fit, large: _Fit, *, error: float, total: float) -> float:
    spent = small.df - large.df
    if spent < 1 or math.isnan(error) or total + error == 0:
        return math.nan
    return float(
        np.clip((small.squares - large.squares - spent * error) / (total + error), 0.0, 1.0)
    )


def _long(
    scores: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    arms, seeds = np.nonzero(~np.isnan(scores))
    return scores[arms, seeds], arms, seeds


def _dummies(groups: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(groups[:, None] == np.unique(groups)[None, :], dtype=np.float64)


def _products(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows, a) and (rows, b) -> (rows, a * b)."""
    return (one[:, :, None] * other[:, None, :]).reshape(len(one), one.shape[1] * other.shape[1])


def _pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]
