"""One arm against another, paired by seed: what cards and tables print beside a score."""

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

    @property
    def is_told_apart(self) -> bool:
        """Whether the interval excludes 0.

        One pair tells nothing apart, and neither does no pair.
        """
        return self.low > 0 or self.high < 0


def summarise(differences: Sequence[float]) -> Gap:
    """Return mean, SD and the 95 % t interval of paired differences; NaNs are dropped."""
    values = np.asarray([value for value in differences if not math.isnan(value)], dtype=np.float64)
    n = len(values)
    if n < 2:
        return Gap(
            mean=float(values[0]) if n else math.nan, sd=math.nan, low=math.nan, high=math.nan, n=n
        )
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    half = float(t.ppf((1 + _CONFIDENCE) / 2, n - 1)) * sd / math.sqrt(n)
    return Gap(mean=mean, sd=sd, low=mean - half, high=mean + half, n=n)


def arm_gap(trials: pd.DataFrame, metric: str, *, arm_id: str, against: str) -> Gap:
    """The gap of one arm to another in `metric`, paired by seed.

    Seeds that either lacks make no pair.
    """
    scores = scores_of(trials, metric)
    seeds = sorted({seed for arm, seed in scores if arm == arm_id})
    return summarise(
        [
            scores[arm_id, seed] - scores[against, seed]
            for seed in seeds
            if (against, seed) in scores
        ]
    )


def seed_sd(trials: pd.DataFrame, metric: str) -> float:
    """SD of a trial around the mean of its arm, pooled over all arms with at least two seeds.

    NaN where there is none.
    """
    if metric not in trials:
        return math.nan
    groups = trials.dropna(subset=[metric]).groupby("arm_id")[metric]
    spare, squares = groups.size() - 1, groups.var(ddof=1)
    return float(np.sqrt((squares * spare).sum() / spare.sum())) if spare.sum() > 0 else math.nan


def scores_of(trials: pd.DataFrame, metric: str) -> dict[tuple[str, int], float]:
    """(arm_id, seed) -> score of the trials that have one."""
    if metric not in trials:
        return {}
    # Lists of columns: to drop rows of the whole frame takes far longer than the rest of a family.
    values = trials[metric].tolist()
    scores = {}
    for arm_id, seed, value in zip(trials["arm_id"], trials["seed"], values, strict=True):
        if not math.isnan(value):
            scores[arm_id, int(seed)] = float(value)
    return scores
