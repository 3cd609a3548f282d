from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from ablate.reporting.statistics.contrast import Contrast, alone, complete_part, gap
from ablate.reporting.statistics.estimate import estimates
from ablate.reporting.statistics.pooled_variance import PRIOR_DF
from ablate.reporting.statistics.seed_variance import Span, seed_estimates

N_ARMS = 6


def scores(rng_seed: int, *, n_arms: int = N_ARMS, n_seeds: int = 3) -> np.ndarray:
    return np.random.default_rng(rng_seed).normal(size=(n_arms, n_seeds))


def test_one_contrast_alone_is_a_paired_t_test() -> None:
    y = scores(0, n_arms=2, n_seeds=5)
    (estimate,) = estimates([gap(1, 0)], y, None)
    oracle = stats.ttest_rel(y[1], y[0])
    low, high = oracle.confidence_interval(0.95)
    assert estimate.p == pytest.approx(oracle.pvalue, rel=1e-12)
    half = estimate.half_width(0.05)
    assert (estimate.value - half, estimate.value + half) == pytest.approx((low, high), rel=1e-12)


def test_a_family_lends_its_variance_as_the_formula_says() -> None:
    """By projections, which the code does not form."""
    y = scores(1)
    contrasts = [gap(1, 0), gap(2, 0), Contrast(((3, 0), (4, 1)), (1, -1))]
    weights = np.array([contrast.weights(N_ARMS) for contrast in contrasts])
    n_seeds = y.shape[1]
    d = n_seeds - 1
    values = weights @ y
    deviations = values - values.mean(axis=1, keepdims=True)
    total = np.trace(deviations.T @ np.linalg.pinv(weights @ weights.T) @ deviations) / d
    rank = np.linalg.matrix_rank(weights)
    nu = (rank - 1) * d
    prior = nu * PRIOR_DF / (nu + PRIOR_DF)
    for estimate, row, value in zip(seed_estimates(contrasts, y), weights, values, strict=True):
        own = value.var(ddof=1) / (row @ row)
        others = (total - own) / (rank - 1)
        moderated = (prior * others + d * own) / (prior + d)
        assert estimate.variance == pytest.approx(moderated * (row @ row) / n_seeds)
        assert estimate.df == pytest.approx(prior + d)
        assert estimate.value == pytest.approx(value.mean())


def test_a_merged_arm_counts_in_each_of_its_cells() -> None:
    contrast = Contrast(cells=((1, 0), (2, 0)), signs=(1, -1))
    assert contrast.weights(3).tolist() == [-1.0, 0.5, 0.5]


def test_what_all_seeds_do_to_all_arms_cancels() -> None:
    y = scores(2)
    moved = y + np.array([5.0, -3.0, 100.0])
    contrasts = [gap(1, 0), gap(2, 0)]
    for before, after in zip(
        seed_estimates(contrasts, y), seed_estimates(contrasts, moved), strict=True
    ):
        assert after.value == pytest.approx(before.value)
        assert after.variance == pytest.approx(before.variance)


def test_one_seed_gives_a_value_and_no_error() -> None:
    (estimate,) = estimates([gap(1, 0)], scores(3, n_seeds=1), None)
    assert estimate.df == 0
    assert np.isnan(estimate.p)
    assert np.isnan(estimate.half_width(0.05))


def test_a_span_given_from_outside_is_the_family() -> None:
    y = scores(4)
    family = [gap(arm, 0) for arm in range(1, N_ARMS)]
    alone_of_them = seed_estimates([family[2]], y, Span.of(family, y))[0]
    among_them = seed_estimates(family, y)[2]
    assert alone_of_them.variance == pytest.approx(among_them.variance)


holes = arrays.arrays(np.bool_, (N_ARMS, 4), elements=st.booleans())


@settings(deadline=None)
@given(holes)
def test_a_contrast_is_computed_where_nothing_is_missing(is_missing: np.ndarray) -> None:
    y = np.where(is_missing, np.nan, scores(5, n_seeds=4))
    cells = ((1, 0), (3, 2), (5, 4))
    part = complete_part(Contrast(cells, (1, -1)), y)
    assert part.n_cells + part.n_cells_left_out == len(cells)
    if part.n_cells:
        assert not np.isnan(part.by_seed(y)).any()
        assert part.weights.sum() == pytest.approx(0)
    else:
        pairs = [~np.isnan(y[list(cell)]).any(axis=0) for cell in cells]
        assert not np.any(pairs)


@settings(deadline=None)
@given(holes)
def test_no_choice_of_cells_and_seeds_would_leave_more(is_missing: np.ndarray) -> None:
    y = np.where(is_missing, np.nan, 0.0)
    cells = ((1, 0), (3, 2), (5, 4))
    part = complete_part(Contrast(cells, (1, -1)), y)
    complete = np.array([~np.isnan(y[list(cell)]).any(axis=0) for cell in cells])
    for n_seeds in range(2, 5):
        for seeds in itertools.combinations(range(4), n_seeds):
            n_cells = int(complete[:, list(seeds)].all(axis=1).sum())
            # seeds come in by completeness, so a block is within one cell of the best
            assert n_cells * (n_seeds - 1) <= max(part.n_cells * (len(part.seeds) - 1), 1) + 3


@settings(deadline=None)
@given(holes)
def test_holes_never_break_a_family(is_missing: np.ndarray) -> None:
    y = np.where(is_missing, np.nan, scores(6, n_seeds=4))
    contrasts = [gap(arm, 0) for arm in range(1, N_ARMS)] + [alone(0)]
    for estimate in estimates(contrasts, y, None):
        assert estimate.df >= 0
        if not np.isnan(estimate.se):
            assert estimate.se >= 0
