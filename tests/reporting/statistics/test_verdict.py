from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, t

from ablate.reporting.statistics.contrast import alone, complete_part, gap
from ablate.reporting.statistics.estimate import Estimate, estimates
from ablate.reporting.statistics.image_variance import image_variance
from ablate.reporting.statistics.verdict import ALPHA, Verdict, judge


def estimate(value: float, se: float = 1.0, df: float = 6.0) -> Estimate:
    return Estimate(
        value=value,
        se_seeds=se,
        se_images=math.nan,
        df=df,
        df_seeds=df,
        n_seeds=3,
        n_cells_left_out=0,
    )


values = st.lists(st.floats(-20, 20), min_size=1, max_size=8)


@settings(deadline=None)
@given(values, st.floats(0.01, 5), st.sampled_from([0.05, 0.04, 0.01]))
def test_p_interval_and_verdict_are_one_answer(
    family: list[float], margin: float, alpha: float
) -> None:
    for judged in judge([estimate(value) for value in family], alpha=alpha, margin=margin):
        assert judged.excludes_zero == (judged.low > 0 or judged.high < 0)
        if abs(judged.p - ALPHA) > 1e-9:
            assert judged.excludes_zero == (judged.p < ALPHA)
        assert judged.beyond_margin == (judged.low > margin or judged.high < -margin)
        if judged.verdict is Verdict.NO_LARGER:
            assert judged.largest <= margin


def test_intervals_share_the_error_of_their_family() -> None:
    first, _ = judge([estimate(3.0), estimate(0.0)], alpha=0.04)
    half = t.isf(0.04 / 4, 6.0)
    assert (first.low, first.high) == pytest.approx((3 - half, 3 + half))


def test_lower_may_be_better() -> None:
    (judged,) = judge([estimate(-30.0)], is_lower_better=True)
    assert judged.verdict is Verdict.BETTER
    (judged,) = judge([estimate(-30.0)])
    assert judged.verdict is Verdict.WORSE


def test_what_has_no_error_says_nothing_and_counts_for_nobody() -> None:
    unknown = estimate(3.0, se=math.nan, df=0.0)
    known, judged = judge([estimate(3.0), unknown])
    assert judged.verdict is Verdict.UNKNOWN
    assert known.high == pytest.approx(3 + t.isf(0.025, 6.0))


def crossed(rng: np.random.Generator, *, own: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two arms, also on resampled images: a part that all runs share and their own."""
    n_images, n_draws, n_seeds = 200, 400, 3
    shared = rng.normal(size=(2, 1, n_images))
    images = shared + own * rng.normal(size=(2, n_seeds, n_images))
    drawn = rng.multinomial(n_images - 1, np.full(n_images, 1 / n_images), size=n_draws)
    return images.mean(axis=2), images @ (drawn / (n_images - 1)).T


def test_images_are_split_into_what_runs_share_and_their_own() -> None:
    shared, own = [], []
    for seed in range(60):
        y, replicates = crossed(np.random.default_rng(seed), own=2.0)
        variance = image_variance(complete_part(gap(1, 0), y), replicates)
        shared.append(variance.shared)
        own.append(variance.own)
    assert np.mean(shared) == pytest.approx(2 / 200, rel=0.15)
    assert np.mean(own) == pytest.approx(2 * 4 / 200 / 3, rel=0.1)


def test_images_lend_degrees_of_freedom_by_their_share_of_the_variance() -> None:
    """By the ratio, not its square: far out in the tails that would be too many."""
    y, replicates = crossed(np.random.default_rng(0), own=2.0)
    (found,) = estimates([gap(1, 0)], y, replicates)
    assert found.se_images > 0
    assert found.df == pytest.approx(found.df_seeds * found.se**2 / found.se_seeds**2)


def test_equal_seeds_by_luck_do_not_hide_the_images_of_single_runs() -> None:
    """Two seeds that agree exactly: what one run does to one image is the floor."""
    y, replicates = crossed(np.random.default_rng(0), own=2.0)
    y[:] = [[0.5], [0.8]]
    (found,) = estimates([gap(1, 0)], y, replicates)
    assert found.se_seeds == pytest.approx(
        math.sqrt(image_variance(complete_part(gap(1, 0), y), replicates).own)
    )
    assert found.se_seeds > 0


def test_seeds_that_never_differ_leave_the_images_with_a_normal_interval() -> None:
    y = np.array([[0.5, 0.5], [0.8, 0.8]])
    images = np.random.default_rng(0).normal(size=(2, 1, 300))
    replicates = np.repeat(images, 2, axis=1)
    (found,) = estimates([gap(1, 0)], y, replicates)
    assert math.isinf(found.df)
    assert found.half_width(0.05) == pytest.approx(norm.isf(0.025) * found.se_images)


def test_without_any_error_nothing_is_claimed() -> None:
    (found,) = estimates([gap(1, 0)], np.array([[0.5, 0.5], [0.8, 0.8]]), None)
    assert judge([found])[0].verdict is Verdict.UNKNOWN


def test_an_arm_alone_has_an_interval() -> None:
    y = np.random.default_rng(0).normal(size=(4, 5))
    found = estimates([alone(arm) for arm in range(4)], y, None)
    assert [estimate.value for estimate in found] == pytest.approx(y.mean(axis=1).tolist())
    assert all(estimate.se > 0 for estimate in found)
