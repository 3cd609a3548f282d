"""Shares of variance and the noise of a study, by least squares.

Also where cells are merged, excluded or failed. The model of a score is arm + seed + noise; the
seed stands for what its draws have in common in every arm, and drops out of paired differences. A
merged arm stands at several levels of an axis: its row of the design is their mean.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lstsq
from scipy.stats import chi2

Columns = Mapping[str, NDArray[np.float64]]
"""Axis -> (arms, levels) rows that sum to 1: where in the axis an arm stands."""


@dataclass(frozen=True)
class Noise:
    """What is left of a score when its arm and its seed are known."""

    sd: float
    """NaN with one seed."""
    df: int


def noise(scores: NDArray[np.float64]) -> Noise:
    """SD of a trial around its arm and its seed.

    `scores` (arms, seeds), NaN where a trial has none.
    """
    # both as factors without interaction: what is left is the noise within arm and seed
    y, arms, seeds = _long(scores)
    fit = _fit(y, _dummies(arms), _dummies(seeds))
    sd = math.nan
    if fit.df > 0:
        sd = math.sqrt(fit.squares / fit.df)
    return Noise(sd, fit.df)


def typical_variance(scores: NDArray[np.float64]) -> float:
    """Variance of a trial around its arm: the median over arms, unbiased for normal noise.

    NaN with one seed. A mean would be that of the few arms whose training falls apart.
    """
    # arms with one trial have no variance
    n = (~np.isnan(scores)).sum(axis=1)
    known = n > 1
    if not known.any():
        return math.nan
    df = n[known] - 1
    variances = np.nanvar(scores[known], axis=1, ddof=1)
    # a variance with few df is skewed, its median below the truth: with 2 df only 69 % of it
    return float(np.median(variances * df / chi2.median(df)))


def omega_squared(scores: NDArray[np.float64], columns: Columns) -> dict[tuple[str, ...], float]:
    """Share in [0, 1] of the variance of all trials that an axis or an interaction explains.

    By (axis,) and (axis, axis), beyond what noise would explain. Type II sums of squares (each axis
    given the others, each interaction given the axes), against the noise within arm and seed. NaN
    with one seed, and where the design cannot tell a term from the others.
    """
    y, arms, seeds = _long(scores)
    error = noise(scores).sd ** 2
    total = 0.0
    if len(y):
        total = float(((y - y.mean()) ** 2).sum())
    # a row per trial instead of a row per arm
    mains = {axis: of_arms[arms] for axis, of_arms in columns.items()}
    base = [_dummies(seeds), *mains.values()]
    full = _fit(y, *base)
    shares: dict[tuple[str, ...], float] = {}
    for axis in columns:
        others = dict(mains)
        del others[axis]
        without_axis = _fit(y, _dummies(seeds), *others.values())
        shares[axis,] = _share(without_axis, full, error=error, total=total)
    for first, second in itertools.combinations(columns, 2):
        with_pair = _fit(y, *base, _products(mains[first], mains[second]))
        shares[first, second] = _share(full, with_pair, error=error, total=total)
    return shares


@dataclass(frozen=True)
class _Fit:
    squares: float
    df: int


def _fit(y: NDArray[np.float64], *parts: NDArray[np.float64]) -> _Fit:
    """Residual sum of squares and degrees of freedom of y on an intercept and `parts`."""
    if not len(y):
        return _Fit(0.0, 0)
    # the parts' columns sum to 1 each, so the design is never of full rank: its rank is counted
    design = np.concatenate([np.ones((len(y), 1)), *parts], axis=1)
    # gelsy, a QR with pivots: several times as fast as by singular values
    solution, _, rank, _ = lstsq(design, y, cond=1e-9, lapack_driver="gelsy")
    residuals = y - design @ solution
    return _Fit(float((residuals**2).sum()), len(y) - int(rank))


def _share(small: _Fit, large: _Fit, *, error: float, total: float) -> float:
    """Omega squared of what the large fit has beyond the small one."""
    n_spent = small.df - large.df
    # nothing spent: the term is a sum of the others, as where an axis has one level left
    if n_spent < 1 or math.isnan(error) or total + error == 0:
        return math.nan
    # each degree of freedom explains one `error` by luck alone: eta squared would count that too
    beyond_noise = small.squares - large.squares - n_spent * error
    return float(np.clip(beyond_noise / (total + error), 0.0, 1.0))


def _long(
    scores: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """(trials,) scores that there are, and the place of arm and seed of each."""
    arms, seeds = np.nonzero(~np.isnan(scores))
    return scores[arms, seeds], arms, seeds


def _dummies(groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """(trials,) -> (trials, groups) of 0 and 1."""
    return np.asarray(groups[:, None] == np.unique(groups)[None, :], dtype=np.float64)


def _products(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows, a) and (rows, b) -> (rows, a * b): the columns of an interaction."""
    products = first[:, :, None] * second[:, None, :]
    # not -1: a study without a trial has no row, and then -1 cannot be computed
    return products.reshape(len(first), first.shape[1] * second.shape[1])
