"""What a level changes, in differences paired by seed and by the levels of the other axes.

A pair is two trials whose cells differ in one axis only and whose seeds are equal. Merged arms stand in every cell that they answer, excluded cells make no
pair, so no level profits from the company it was tried in. Cells answered by the same arm on both sides (the axis cannot matter there) make no pair either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from ablate.reporting.tables import level_text
from ablate.spec.study import StudyRecord

SEEDS_FOR_A_TEST = 6
"""Below this many pairs a signed-rank test cannot reach 0.05."""
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
        """Whether the interval leaves out 0. One pair tells nothing apart, and neither does no pair."""
        return self.low > 0 or self.high < 0

    @property
    def is_within_noise(self) -> bool:
        """Whether the gap is no larger than the spread of its own differences, or that spread is not known."""
        return self.n < 2 or abs(self.mean) <= self.sd


def summarise(differences: Sequence[float]) -> Gap:
    """Return mean, SD and the 95 % t interval of paired differences; NaNs are dropped."""
    values = np.asarray([value for value in differences if not math.isnan(value)], dtype=np.float64)
    n = len(values)
    if n < 2:
        return Gap(mean=float(values[0]) if n else math.nan, sd=math.nan, low=math.nan, high=math.nan, n=n)
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    half = float(t.ppf((1 + _CONFIDENCE) / 2, n - 1)) * sd / math.sqrt(n)
    return Gap(mean=mean, sd=sd, low=mean - half, high=mean + half, n=n)


def arm_gap(trials: pd.DataFrame, metric: str, *, arm_id: str, against: str) -> Gap:
    """The gap of one arm to another in `metric`, paired by seed; seeds that either lacks make no pair."""
    scores = _scores(trials, metric)
    seeds = sorted({seed for arm, seed in scores if arm == arm_id})
    return summarise([scores[arm_id, seed] - scores[against, seed] for seed in seeds if (against, seed) in scores])


def seed_sd(trials: pd.DataFrame, metric: str) -> float:
    """SD of a trial around the mean of its arm, pooled over all arms with at least two seeds; NaN where there is none."""
    groups = trials.dropna(subset=[metric]).groupby("arm_id")[metric]
    spare, squares = groups.size() - 1, groups.var(ddof=1)
    return float(np.sqrt((squares * spare).sum() / spare.sum())) if spare.sum() > 0 else math.nan


def expected_optimism(sd: float, *, n_arms: int, n_seeds: int) -> float:
    """How much better the best of `n_arms` equal arms is expected to look by luck alone: Blom's approximation of the largest of n normal means."""
    if n_arms < 2:
        return 0.0
    return float(norm.ppf((n_arms - 0.375) / (n_arms + 0.25))) * sd / math.sqrt(n_seeds)


@dataclass(frozen=True)
class PairedDifferences:
    """Statistic: trial frame -> one row a pair, with axis, level, against, context, seed, value, value_against and difference in `metric`."""

    metric: str

    def __call__(self, record: StudyRecord, trials: pd.DataFrame) -> pd.DataFrame:
        scores = _scores(trials, self.metric)
        rows = [
            {**pair, "seed": seed, "value": scores[arm, seed], "value_against": scores[other, seed], "difference": scores[arm, seed] - scores[other, seed]}
            for pair in matched_cells(record).to_dict("records")
            for seed in record.seeds
            for arm, other in [(pair["arm_id"], pair["arm_id_against"])]
            if arm != other and (arm, seed) in scores and (other, seed) in scores
        ]
        columns = ["axis", "level", "against", "context", "arm_id", "arm_id_against", "seed", "value", "value_against", "difference"]
        return pd.DataFrame(rows, columns=columns)


def matched_cells(record: StudyRecord) -> pd.DataFrame:
    """One row for each two cells that differ in one axis only: `level` against the baseline arm's level, in a `context` of the other axes' levels.

    Columns: axis, level, against, context, arm_id, arm_id_against (equal where the axis cannot matter).
    """
    columns = ["axis", "level", "against", "context", "arm_id", "arm_id_against"]
    arms = arm_of_cell(record)
    rows = []
    for axis, position in zip(record.axes, range(len(record.axes)), strict=True):
        against = baseline_level(record, axis)
        for cell, arm_id in arms.items():
            other = arms.get((*cell[:position], against, *cell[position + 1 :]))
            if cell[position] == against or other is None:
                continue
            context = " ".join(f"{name}={level}" for name, level in zip(record.axes, cell, strict=True) if name != axis)
            rows.append(dict(zip(columns, [axis, cell[position], against, context, arm_id, other], strict=True)))
    return pd.DataFrame(rows, columns=columns)


def arm_of_cell(record: StudyRecord) -> dict[tuple[str, ...], str]:
    """Return levels (as text, in the order of the axes) -> arm_id, for every cell that an arm answers."""
    return {tuple(level_text(cell[axis]) for axis in record.axes): arm.arm_id for arm in record.arms for cell in arm.cells if set(record.axes) <= set(cell)}


def baseline_level(record: StudyRecord, axis: str) -> str:
    """The baseline arm's level of `axis`; the first of its cells speaks where it answers several. Without a baseline, the first level."""
    cells = [cell for arm in record.arms if arm.arm_id == record.baseline_arm_id for cell in arm.cells if axis in cell]
    level: Any = cells[0][axis] if cells else record.axes[axis][0]
    return level_text(level)


@dataclass(frozen=True)
class Effect:
    """What one level of an axis changes against the baseline's level, in one metric and in its units."""

    axis: str
    level: str
    against: str
    metric: str
    gap: Gap
    """Over the seeds: each seed's value is the mean difference of its pairs."""
    sd_of_pairs: float
    n_pairs: int
    n_higher: int
    """Pairs in which `level` scored higher."""
    n_contexts: int
    """Combinations of the other axes' levels that the pairs come from."""
    n_same_arm: int
    """Cells that both levels share, because the axis cannot matter there: no pair."""


def axis_effects(record: StudyRecord, trials: pd.DataFrame, *, metrics: Sequence[str]) -> tuple[Effect, ...]:
    """Return the effect of every level but the baseline's, for each metric and axis in order. Intervals are of one comparison each, not corrected for many."""
    cells = matched_cells(record)
    found = []
    for metric in metrics:
        pairs = PairedDifferences(metric)(record, trials)
        for axis, levels in record.axes.items():
            against = baseline_level(record, axis)
            for level in (text for text in map(level_text, levels) if text != against):
                own = pairs[(pairs["axis"] == axis) & (pairs["level"] == level)]
                matched = cells[(cells["axis"] == axis) & (cells["level"] == level)]
                effect = Effect(
                    axis=axis,
                    level=level,
                    against=against,
                    metric=metric,
                    gap=summarise(own.groupby("seed")["difference"].mean().tolist()),
                    sd_of_pairs=summarise(own["difference"].tolist()).sd,
                    n_pairs=len(own),
                    n_higher=int((own["difference"] > 0).sum()),
                    n_contexts=int(own["context"].nunique()),
                    n_same_arm=int((matched["arm_id"] == matched["arm_id_against"]).sum()),
                )
                found.append(effect)
    return tuple(found)


_EFFECT_TEXT, _EFFECT_NUMBERS = ["axis", "level", "against", "metric"], ["sd_of_pairs", "n_pairs", "n_higher", "n_contexts", "n_same_arm"]


def effect_frame(effects: Sequence[Effect]) -> pd.DataFrame:
    """One row an effect; `difference`, `low`, `high` and `n_seeds` are those of its gap."""
    rows = []
    for effect in effects:
        gap = {"difference": effect.gap.mean, "low": effect.gap.low, "high": effect.gap.high, "n_seeds": effect.gap.n}
        rows.append({name: getattr(effect, name) for name in _EFFECT_TEXT} | gap | {name: getattr(effect, name) for name in _EFFECT_NUMBERS})
    return pd.DataFrame(rows, columns=[*_EFFECT_TEXT, "difference", "low", "high", "n_seeds", *_EFFECT_NUMBERS])


def _scores(trials: pd.DataFrame, metric: str) -> dict[tuple[str, int], float]:
    if metric not in trials:
        return {}
    known = trials.dropna(subset=[metric])
    return {(arm, int(seed)): float(value) for arm, seed, value in zip(known["arm_id"], known["seed"], known[metric], strict=True)}
