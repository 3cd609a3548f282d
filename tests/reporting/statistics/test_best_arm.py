from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_t, norm, t

from ablate.reporting.statistics.best_arm import coarse_df, dunnett_quantile, may_be_best


@pytest.mark.parametrize("is_two_sided", [True, False])
@pytest.mark.parametrize(("n_arms", "df"), [(2, 5.0), (4, 12.0), (9, 20.0)])
def test_dunnetts_quantile_against_the_multivariate_t(
    n_arms: int, df: float, is_two_sided: bool
) -> None:
    quantile = dunnett_quantile(n_arms, df, alpha=0.05, is_two_sided=is_two_sided)
    shape = np.full((n_arms, n_arms), 0.5) + 0.5 * np.eye(n_arms)
    bound = np.full(n_arms, quantile)
    lowest = -bound if is_two_sided else None
    inside = multivariate_t(shape=shape, df=df).cdf(
        bound, lower_limit=lowest, maxpts=200_000, random_state=0
    )
    assert inside == pytest.approx(0.95, abs=5e-4)


def test_dunnetts_quantile_lies_between_one_t_and_bonferroni() -> None:
    for df in (3.0, 8.0, 60.0):
        quantile = dunnett_quantile(12, df, alpha=0.05, is_two_sided=True)
        assert t.isf(0.025, df) < quantile < t.isf(0.025 / 12, df)
    assert dunnett_quantile(1, float("inf"), alpha=0.05, is_two_sided=True) == pytest.approx(
        norm.isf(0.025)
    )


@settings(deadline=None)
@given(st.floats(3, 1e6))
def test_coarse_degrees_of_freedom_are_on_the_safe_side(df: float) -> None:
    coarse = coarse_df(df)
    assert coarse <= max(df, 400)
    assert t.isf(0.001, coarse) <= 1.15 * t.isf(0.001, df)


scores = st.integers(0, 10_000).map(
    lambda seed: np.random.default_rng(seed).normal(size=(5, 3)).round(2)
)


@settings(max_examples=40, deadline=None)
@given(scores, st.floats(0, 30))
def test_the_arm_with_the_best_mean_may_be_the_best(y: np.ndarray, lead: float) -> None:
    y[2] += lead
    assert may_be_best(y, None, alpha=0.05)[y.mean(axis=1).argmax()]
    assert may_be_best(-y, None, alpha=0.05, is_lower_better=True)[y.mean(axis=1).argmax()]


def test_an_arm_that_is_far_behind_is_out_and_one_without_a_score_is_not() -> None:
    y = np.random.default_rng(0).normal(size=(4, 5))
    y[1] -= 50
    y[3] = np.nan
    assert may_be_best(y, None, alpha=0.05).tolist() == [True, False, True, True]


def test_the_truly_best_arm_is_among_them_in_19_of_20_studies() -> None:
    n_studies = 200
    n_missed = 0
    for study in range(n_studies):
        rng = np.random.default_rng([1, study])
        y = rng.normal(size=(6, 3)) + rng.normal(size=3) + np.array([0.5, 0, 0, 0, 0, 0])[:, None]
        n_missed += not may_be_best(y, None, alpha=0.05)[0]
    assert n_missed <= 0.05 * n_studies + 2 * np.sqrt(0.05 * 0.95 * n_studies)
