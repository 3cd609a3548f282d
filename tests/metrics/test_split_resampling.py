"""Resampled images of seeds that test other ones: alike where they share images, and right."""

from __future__ import annotations

import numpy as np
import pytest
from support.fold_studies import Setting, coverage

from ablate.metrics.group_resampling import t_over_z
from ablate.metrics.split_resampling import (
    NamedDraws,
    group_factor,
    repeats,
    split_group_weights,
    split_image_weights,
    stretch,
)
from ablate.targets import OneLabel

NAMES = [f"image {number}" for number in range(12)]


def test_a_name_is_drawn_alike_whoever_asks_and_in_any_order() -> None:
    first = NamedDraws(50, seed=0)
    whole = first.of(NAMES)
    again = NamedDraws(50, seed=0).of(NAMES[::-1])
    np.testing.assert_array_equal(again[:, ::-1], whole)
    np.testing.assert_array_equal(first.of(NAMES[3:5]), whole[:, 3:5])
    assert not np.array_equal(NamedDraws(50, seed=1).of(NAMES), whole)


def test_weights_keep_the_size_of_each_class() -> None:
    targets = OneLabel(np.array([0] * 6 + [1] * 5 + [2]), 3)
    weights = split_image_weights(NamedDraws(40, seed=0).of(NAMES), targets)
    np.testing.assert_allclose(weights[:, :6].sum(axis=1), 6, rtol=1e-5)
    np.testing.assert_allclose(weights[:, 6:11].sum(axis=1), 5, rtol=1e-5)
    # A single image of its class stays in every draw.
    np.testing.assert_array_equal(weights[:, 11], 1)


@pytest.mark.parametrize("n", [3, 5, 40])
def test_a_mean_over_n_images_spreads_by_its_variance_over_n(n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.normal(size=n)
    draws = NamedDraws(40_000, seed=0).of([f"{n} {number}" for number in range(n)])
    weights = split_image_weights(draws, OneLabel(np.zeros(n, dtype=np.int64), 1))
    found = (weights @ values / n).var()
    assert found == pytest.approx(values.var(ddof=1) / n, rel=0.03)


def test_a_mean_over_groups_spreads_by_its_variance_after_the_factor() -> None:
    values = np.random.default_rng(0).normal(size=8)
    sizes = np.full(8, 5)
    draws = NamedDraws(40_000, seed=0).of([f"part {number}" for number in range(8)])
    weights = split_group_weights(draws, np.repeat(np.arange(8), 5))
    assert weights.min() > 0
    np.testing.assert_array_equal(weights[:, 0], weights[:, 4])
    # `widened` has taken the groups of the split for all there are: the factor takes that back.
    widened = t_over_z(sizes) * (weights @ np.repeat(values, 5) / 40)
    found = (group_factor(sizes, np.full(400, 5)) * widened).var()
    assert found == pytest.approx(values.var(ddof=1) / 8, rel=0.04)


def test_the_factor_is_that_of_all_groups_and_1_for_a_group_alone() -> None:
    of_split = np.array([3, 4, 5])
    of_all = np.full(30, 4)
    expected = stretch(3) * t_over_z(of_all) / t_over_z(of_split)
    assert group_factor(of_split, of_all) == pytest.approx(expected)
    assert group_factor(np.array([7]), of_all) == 1


def test_folds_move_apart_and_splits_that_share_images_move_together() -> None:
    draws = NamedDraws(4000, seed=0)
    values = np.tile([1.0, -1.0], 30)

    def means(rows: np.ndarray) -> np.ndarray:
        targets = OneLabel(np.zeros(len(rows), dtype=np.int64), 1)
        weights = split_image_weights(draws.of([str(row) for row in rows]), targets)
        return np.asarray(weights @ values[rows] / len(rows))

    first, second, both = np.arange(20), np.arange(20, 40), np.arange(10, 30)
    assert abs(np.corrcoef(means(first), means(second))[0, 1]) < 0.06
    # half of the images in common
    assert np.corrcoef(means(first), means(both))[0, 1] == pytest.approx(0.5, abs=0.05)


def test_groups_that_several_splits_test_count_once() -> None:
    one_round = [{f"part {fold}": 4, f"other {fold}": 6} for fold in range(5)]
    assert repeats(one_round) == 0
    # The same five folds four times are no more than five: rho is 3 / 19.
    rho = 3 / 19
    assert repeats(one_round * 4) == pytest.approx((1 + 19 * rho) / (1 - rho) - 1)
    assert repeats(one_round[:1]) == 0
    # Random splits of a share s of the groups: the correction of Nadeau and Bengio.
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(60):
        drawn.append({str(group): 1 for group in rng.permutation(200)[:40]})
    assert (repeats(drawn) + 1) / 60 == pytest.approx(1 / 60 + 40 / 160, rel=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("has_groups", [False, True])
def test_intervals_over_rounds_of_folds_cover_and_a_paired_t_does_not(has_groups: bool) -> None:
    """Four rounds of five folds over about 150 images; classifiers are really trained."""
    found = coverage(Setting(20, 5, 150, has_groups), n_studies=120)
    # 95 % is promised; the share itself has a standard error of 2 %.
    assert found["ours"] > 0.9, found
    assert found["naive"] < 0.9, found
