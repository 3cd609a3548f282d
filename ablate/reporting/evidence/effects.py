"""What a level changes, and what two levels change together.

Estimate, interval, p, share of variance, and what the design could have shown.

Everything is paired by seed and by the levels of the other axes. Every p of the primary metric, of
main effects and of interactions, stands in one Holm family; the secondary metric has its own and is
claimed only where the primary one is, so that a study of pure noise claims anything at most once in
twenty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting.evidence.comparisons import (
    Comparison,
    axis_columns,
    interactions,
    main_comparisons,
)
from ablate.reporting.evidence.judged_metrics import judged_metrics
from ablate.reporting.evidence.paired import scores_of, seed_sd
from ablate.reporting.statistics.contrast import Interval, block_values, contrast_interval
from ablate.reporting.statistics.permutation import (
    PermutationTest,
    holm,
    permutation_test,
    smallest_p,
)
from ablate.reporting.statistics.power import (
    ALPHA,
    MOST_SEEDS,
    minimum_detectable_effect,
    seeds_needed,
)
from ablate.reporting.statistics.variance import Noise, SeedCheck, noise, omega_squared, seed_check
from ablate.study.record import StudyRecord

Replicates = Mapping[str, NDArray[np.floating]]
"""Metric -> (arms, seeds, draws) scores on resampled test images, arms and seeds in the order of
the record."""


@dataclass(frozen=True)
class Effect:
    """A comparison in one metric, in its units."""

    comparison: Comparison
    metric: str
    interval: Interval
    test: PermutationTest
    p_holm: float
    """NaN where nothing could be tested."""
    is_claimed: bool
    """Whether the report may say that it is there.

    Corrected p below 0.05, and an interval that excludes 0.
    """
    share: float
    """Omega squared of the axis, or of the two axes' interaction: of all levels together."""
    smallest_effect: float
    """What this design finds with a power of 80 %; infinite where it cannot find any."""
    seeds_for_this_gap: int | None
    """Seeds with which a true effect of this size would be found.

    None beyond `power.MOST_SEEDS`.
    """
    n_seeds: int
    n_pairs: int
    """Matched cells times seeds, for an interaction squares of four trials."""
    n_higher: int
    """Pairs in which `level` scored higher."""
    sd_of_pairs: float

    @property
    def estimate(self) -> float:
        return self.interval.estimate


@dataclass(frozen=True)
class Effects:
    """All comparisons of a study."""

    all: tuple[Effect, ...]
    primary: str
    """The metric that every verdict is about, e.g. "test/<name>"."""
    secondary: str
    """The metric that is claimed only where the primary one is."""
    seed_check: SeedCheck
    """Of `primary`: decides what the tests take as independent."""
    noise: Mapping[str, Noise]
    """Metric -> what is left of a score when arm and seed are known."""
    seed_sd: Mapping[str, float]
    """Metric -> SD of a trial around its arm, seeds' common part included."""

    @cached_property
    def mains(self) -> tuple[Effect, ...]:
        return tuple(effect for effect in self.all if not effect.comparison.is_interaction)

    @cached_property
    def interactions(self) -> tuple[Effect, ...]:
        return tuple(effect for effect in self.all if effect.comparison.is_interaction)

    def of(self, comparison: Comparison, metric: str) -> Effect:
        """The effect of a comparison in a metric."""
        return next(
            effect
            for effect in self.all
            if effect.comparison is comparison and effect.metric == metric
        )

    def of_axis(self, axis: str, metric: str) -> list[Effect]:
        """Main effects of an axis, in the order of its levels."""
        return [
            effect
            for effect in self.mains
            if effect.comparison.axes == (axis,) and effect.metric == metric
        ]

    @property
    def n_tests(self) -> int:
        """Comparisons in the family of the primary metric."""
        return n_tested([effect for effect in self.all if effect.metric == self.primary])


def score_array(record: StudyRecord, trials: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    """(arms, seeds) in the order of the record, NaN where a trial has no score."""
    scores = scores_of(trials, metric)
    return np.array(
        [[scores.get((arm.arm_id, seed), math.nan) for seed in record.seeds] for arm in record.arms]
    )


def study_effects(record: StudyRecord, trials: pd.DataFrame, replicates: Replicates) -> Effects:
    """Compute every main effect and two-way interaction in both judged metrics."""
    primary, secondary = judged_metrics(record)
    metrics = (primary, secondary)
    scored = set(trials.dropna(subset=[primary])["arm_id"]) if primary in trials else set()
    comparisons = (*main_comparisons(record, scored=scored), *interactions(record, scored=scored))
    columns = axis_columns(record)
    arrays = {metric: score_array(record, trials, metric) for metric in metrics}
    check = seed_check(arrays[primary], columns)
    found: list[Effect] = []
    for metric in metrics:
        shares = omega_squared(arrays[metric], columns)
        measured = [
            _measure(
                comparison,
                metric,
                arrays[metric],
                replicates.get(metric),
                is_seed_the_unit=check.is_seed_the_unit,
                share=shares.get(comparison.axes, math.nan),
            )
            for comparison in comparisons
        ]
        found += _corrected(
            measured,
            claimed={effect.comparison.name for effect in found if effect.is_claimed}
            if metric != primary
            else None,
        )
    return Effects(
        tuple(found),
        primary,
        secondary,
        check,
        {metric: noise(array) for metric, array in arrays.items()},
        {metric: seed_sd(trials, metric) for metric in metrics},
    )


def n_tested(effects: Sequence[Effect]) -> int:
    """How many of one metric's comparisons have a p."""
    return sum(not math.isnan(effect.test.p) for effect in effects)


def _measure(
    comparison: Comparison,
    metric: str,
    scores: NDArray[np.float64],
    replicates: NDArray[np.floating] | None,
    *,
    is_seed_the_unit: bool,
    share: float,
) -> Effect:
    found = block_values(comparison.blocks, scores)
    differences = pair_values(comparison, scores)
    differences = differences[~np.isnan(differences)]
    return Effect(
        comparison=comparison,
        metric=metric,
        interval=contrast_interval(found, replicates, is_seed_the_unit=is_seed_the_unit),
        test=permutation_test(
            found, scores, flips_only=comparison.is_interaction, is_seed_the_unit=is_seed_the_unit
        ),
        p_holm=math.nan,
        is_claimed=False,
        share=share,
        smallest_effect=math.nan,
        seeds_for_this_gap=None,
        n_seeds=int((~np.isnan(found.values)).any(axis=0).sum()),
        n_pairs=len(differences),
        n_higher=int((differences > 0).sum()),
        sd_of_pairs=float(differences.std(ddof=1)) if len(differences) > 1 else math.nan,
    )


def pair_values(comparison: Comparison, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(matched cells, seeds) the contrast in each cell and seed; NaN where a trial has no score."""
    sides = np.array(comparison.sides, dtype=np.int64).reshape(-1, len(comparison.signs))
    return np.asarray(np.tensordot(comparison.signs, scores[sides], axes=(0, 1)), dtype=np.float64)


def _corrected(effects: Sequence[Effect], *, claimed: set[str] | None) -> list[Effect]:
    """Fill in what depends on how many are tested.

    `claimed`: names that may be claimed; None for all.
    """
    n_tests = max(n_tested(effects), 1)
    done = []
    for effect, p_holm in zip(effects, holm([effect.test.p for effect in effects]), strict=True):
        allowed = claimed is None or effect.comparison.name in claimed
        interval = effect.interval
        can_be_found = effect.test.smallest_p * n_tests < ALPHA
        done.append(
            replace(
                effect,
                p_holm=p_holm,
                is_claimed=allowed and p_holm < ALPHA and interval.leaves_out_zero,
                smallest_effect=minimum_detectable_effect(
                    interval.se_seeds, df=interval.df_seeds, n_tests=n_tests
                )
                if can_be_found
                else math.inf,
                seeds_for_this_gap=_seeds(effect, n_tests=n_tests),
            )
        )
    return done


def _seeds(effect: Effect, *, n_tests: int) -> int | None:
    """Seeds with which a gap like this one would be found.

    By its size, and by what so many rearrangements can show.
    """
    interval, comparison = effect.interval, effect.comparison
    n = seeds_needed(
        interval.estimate,
        interval.se_seeds,
        df=interval.df_seeds,
        n_seeds=effect.n_seeds,
        n_tests=n_tests,
    )
    while (
        n is not None
        and smallest_p(comparison.blocks, n_seeds=n, flips_only=comparison.is_interaction) * n_tests
        >= ALPHA
    ):
        n = n + 1 if n < MOST_SEEDS else None
    return n


_COLUMNS = [
    "kind",
    "axes",
    "levels",
    "against",
    "metric",
    "difference",
    "low",
    "high",
    "p",
    "p_holm",
    "is_claimed",
    "omega_squared",
    "se_seeds",
    "se_images",
]
_MORE = [
    "smallest_detectable",
    "seeds_for_this_gap",
    "n_seeds",
    "n_pairs",
    "n_higher",
    "sd_of_pairs",
    "n_same_arm",
]


def effect_frame(effects: Sequence[Effect]) -> pd.DataFrame:
    """One row an effect, in units of the metric; what is not known is NaN."""
    rows = []
    for effect in effects:
        comparison, interval = effect.comparison, effect.interval
        rows.append(
            {
                "kind": "interaction" if comparison.is_interaction else "main effect",
                "axes": " x ".join(comparison.axes),
                "levels": " x ".join(comparison.levels),
                "against": " x ".join(comparison.against),
                "metric": effect.metric,
                "difference": interval.estimate,
                "low": interval.low,
                "high": interval.high,
                "p": effect.test.p,
                "p_holm": effect.p_holm,
                "is_claimed": effect.is_claimed,
                "omega_squared": effect.share,
                "se_seeds": interval.se_seeds,
                "se_images": interval.se_images,
                "smallest_detectable": math.nan
                if math.isinf(effect.smallest_effect)
                else effect.smallest_effect,
                "seeds_for_this_gap": math.nan
                if effect.seeds_for_this_gap is None
                else float(effect.seeds_for_this_gap),
                "n_seeds": effect.n_seeds,
                "n_pairs": effect.n_pairs,
                "n_higher": effect.n_higher,
                "sd_of_pairs": effect.sd_of_pairs,
                "n_same_arm": comparison.n_same_arm,
            }
        )
    return pd.DataFrame(rows, columns=[*_COLUMNS, *_MORE])
