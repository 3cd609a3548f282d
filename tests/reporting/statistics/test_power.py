from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t

from ablate.reporting.statistics.contrast import gap
from ablate.reporting.statistics.estimate import estimates
from ablate.reporting.statistics.power import (
    MOST_SEEDS,
    Design,
    expected_optimism,
    luck_on_test,
    seeds_to_find,
    seeds_to_settle,
    smallest_effect,
)
from ablate.reporting.statistics.seed_variance import seed_estimates
from ablate.reporting.statistics.verdict import Verdict, judge

N_ARMS, N_SEEDS = 8, 3
FAMILY = [gap(arm, 0) for arm in range(1, N_ARMS)]
PAIR = Design(square=2.0, rank=N_ARMS - 1, alpha=0.05 / (N_ARMS - 1))


def test_the_planned_error_is_that_of_the_method() -> None:
    y = np.random.default_rng(0).normal(size=(N_ARMS, N_SEEDS))
    assert PAIR.df(N_SEEDS) == pytest.approx(seed_estimates(FAMILY, y)[0].df)
    assert Design(square=2.0, rank=1, alpha=0.05).df(5) == 4
    assert PAIR.df(1) == 0


def test_the_smallest_effect_is_found_in_four_of_five_simulated_studies() -> None:
    effect = smallest_effect(PAIR, N_SEEDS, sd=1.0)
    n_found = 0
    n_studies = 400
    for study in range(n_studies):
        rng = np.random.default_rng([2, study])
        y = rng.normal(size=(N_ARMS, N_SEEDS)) + 3 * rng.normal(size=N_SEEDS)
        y[1] += effect
        n_found += judge(estimates(FAMILY, y, None))[0].verdict is Verdict.BETTER
    assert n_found / n_studies == pytest.approx(0.8, abs=0.06)


def test_more_seeds_find_less_and_one_seed_nothing() -> None:
    effects = [smallest_effect(PAIR, n_seeds, sd=1.0) for n_seeds in range(1, 12)]
    assert math.isinf(effects[0])
    assert effects == sorted(effects, reverse=True)
    assert seeds_to_find(PAIR, effects[4] * 1.001, sd=1.0) == 5


def test_images_bound_what_seeds_can_find() -> None:
    assert seeds_to_find(PAIR, 0.5, sd=1.0, se_images=1.0) is None
    assert seeds_to_settle(PAIR, 0.5, sd=1.0, se_images=1.0) is None


def test_seeds_to_settle_is_the_first_number_whose_interval_is_narrow_enough() -> None:
    n_seeds = seeds_to_settle(PAIR, 1.5, sd=1.0)
    assert n_seeds is not None
    assert 2 < n_seeds < MOST_SEEDS

    def half(n: int) -> float:
        return float(t.isf(PAIR.alpha / 2, PAIR.df(n))) * PAIR.se(n, sd=1.0)

    assert half(n_seeds) <= 1.5 < half(n_seeds - 1)


def test_optimism_is_the_mean_of_the_largest_of_so_many() -> None:
    drawn = np.random.default_rng(0).normal(size=(20_000, 10, 3)).mean(axis=2).max(axis=1)
    assert expected_optimism(1.0, n_arms=10, n_seeds=3) == pytest.approx(drawn.mean(), rel=0.02)
    assert expected_optimism(1.0, n_arms=1, n_seeds=3) == 0


def test_luck_on_test_is_what_val_and_test_share() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(200, 3))
    correlations, gains, seen = [], [], []
    for _ in range(20):
        common = rng.normal(size=(30, 3))
        val = common + rng.normal(size=(30, 3))
        test = common + rng.normal(size=(30, 3))
        correlation, gain = luck_on_test(val, test)
        correlations.append(correlation)
        gains.append(gain)
        seen.append(test.mean(axis=1)[val.mean(axis=1).argmax()])
    assert np.mean(correlations) == pytest.approx(0.5, abs=0.06)
    assert np.mean(gains) == pytest.approx(np.mean(seen), abs=0.3)
    assert luck_on_test(shared, shared)[0] == pytest.approx(1.0)


def test_luck_is_unknown_with_one_seed_or_without_spread() -> None:
    one = np.zeros((4, 1))
    assert all(map(math.isnan, luck_on_test(one, one)))
    same = np.zeros((4, 3))
    assert all(map(math.isnan, luck_on_test(same, same)))


def test_a_family_without_a_span_has_the_degrees_of_freedom_of_its_seeds() -> None:
    """Rank 0: no two seeds share a complete arm, though the design has five."""
    assert Design(square=2.0, rank=0, alpha=0.01).df(5) == 4
