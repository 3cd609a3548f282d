"""Differences of two scores with equal seeds, and the spread of seeds within arms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Gap:
    """Differences paired by seed, summarised. In units of the metric."""

    mean: float
    sd: float
    """NaN for one pair."""
    low: float
    """95 % t interval of the mean; NaN for one pair."""
    high: float
    n: int


def summarise(differences: Sequence[float]) -> Gap:
    """Return mean, SD and the 95 % t interval of paired differences; NaNs are dropped."""
    values = np.asarray(differences, dtype=np.float64)
    values = values[~np.isnan(values)]
    n = len(values)
    if n == 0:
        return Gap(mean=math.nan, sd=math.nan, low=math.nan, high=math.nan, n=0)
    mean = float(values.mean())
    if n == 1:
        return Gap(mean=mean, sd=math.nan, low=math.nan, high=math.nan, n=1)
    sd = float(values.std(ddof=1))
    # a plain t interval, moderated by nothing: two studies have no family
    half = float(t.ppf((1 + _CONFIDENCE) / 2, n - 1)) * sd / math.sqrt(n)
    return Gap(mean=mean, sd=sd, low=mean - half, high=mean + half, n=n)


def seed_sd(trials: pd.DataFrame, metric: str) -> float:
    """SD of a trial around the mean of its arm, pooled over all arms with at least two seeds.

    NaN where there is none.
    """
    if metric not in trials:
        return math.nan
    groups = trials.dropna(subset=[metric]).groupby("arm_id")[metric]
    df = groups.size() - 1
    if df.sum() < 1:
        return math.nan
    # an arm with one seed has a variance of NaN, and no degree of freedom: the sum skips it
    # weighted by degrees of freedom, not a mean of SDs, which is biased downwards
    pooled = (groups.var(ddof=1) * df).sum() / df.sum()
    return math.sqrt(pooled)


def scores_of(trials: pd.DataFrame, metric: str) -> dict[tuple[str, int], float]:
    """(arm_id, seed) -> score of the trials that have one."""
    if metric not in trials:
        return {}
    scores = {}
    # without `dropna` of the whole frame, which would take longer than all that is computed from it
    for arm, seed, value in zip(trials["arm_id"], trials["seed"], trials[metric], strict=True):
        if not math.isnan(value):
            scores[arm, int(seed)] = float(value)
    return scores
