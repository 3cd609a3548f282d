"""Resampled groups: against scikit-learn, against Obuchowski's variance, and in their coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student
from sklearn import metrics as sk
from support.grouped_images import N_CLASSES, coverage, groups_of_images

from ablate.metrics.classification import rank
from ablate.metrics.group_resampling import (
    group_resampled_area,
    group_resampled_macro_f1,
    group_weights,
    widened,
)
from ablate.metrics.resampling import image_weights, resampled_area
from ablate.targets import OneLabel


def test_images_of_a_group_are_drawn_together_and_the_same_again() -> None:
    group_of = np.array([0, 0, 1, 2, 2, 2, 3])
    weights = group_weights(group_of, n_draws=50, seed=1)
    for group in range(4):
        own = weights[:, group_of == group]
        np.testing.assert_array_equal(own, np.repeat(own[:, :1], own.shape[1], axis=1))
    _, first = np.unique(group_of, return_index=True)
    np.testing.assert_allclose(weights[:, first].sum(axis=1), 4, rtol=1e-6)
    np.testing.assert_array_equal(weights, group_weights(group_of, n_draws=50, seed=1))
    assert not np.array_equal(weights, group_weights(group_of, n_draws=50, seed=2))
    np.testing.assert_array_equal(group_weights(np.zeros(3, dtype=int), n_draws=2, seed=0), 1)


def test_macro_f1_equals_scikit_learn_with_sample_weights() -> None:
    outputs, labels, group_of = groups_of_images(np.random.default_rng(0), 15, is_pure=True)
    weights = group_weights(group_of, n_draws=20, seed=0)
    predicted = outputs[0].argmax(axis=1)
    expected = []
    for row in weights:
        # sklearn scores a class without weight as 0; here it is left out of the mean
        drawn = np.unique(labels[row > 0])
        f1 = sk.f1_score(labels, predicted, average=None, sample_weight=row, zero_division=0)
        expected.append(f1[drawn].mean())
    found = group_resampled_macro_f1(predicted, labels, weights, group_of)
    np.testing.assert_allclose(found, widened(np.array(expected), group_of), rtol=1e-5)


def obuchowski(scores: np.ndarray, is_class: np.ndarray, group_of: np.ndarray) -> float:
    """Variance of one area for clustered data, term by term (1997, equations 2 to 5)."""
    above = scores[is_class][:, None] - scores[~is_class]
    wins = (above > 0) + 0.5 * (above == 0)
    total = wins.mean()
    sums = np.zeros((2, group_of.max() + 1))
    np.add.at(sums[0], group_of[is_class], wins.mean(axis=1) - total)
    np.add.at(sums[1], group_of[~is_class], wins.mean(axis=0) - total)
    sums /= np.array([[is_class.sum()], [(~is_class).sum()]])
    n = sums.shape[1]
    both = n / (n - 1) * (sums @ sums.T)
    return float(both[0, 0] + both[1, 1] + 2 * both[0, 1])


@pytest.mark.parametrize("is_pure", [True, False])
def test_the_spread_of_an_area_is_obuchowskis(is_pure: bool) -> None:
    rng = np.random.default_rng(3)
    _, labels, group_of = groups_of_images(rng, 250, is_pure=is_pure)
    labels = np.minimum(labels, 1)
    positive = np.clip(0.4 + 0.2 * labels + 0.1 * rng.normal(size=250)[group_of], 0.01, 0.99)
    probabilities = np.stack([1 - positive, positive], axis=1)
    weights = group_weights(group_of, n_draws=5000, seed=0)
    found = group_resampled_area(rank(probabilities, labels), weights, group_of)
    expected = obuchowski(positive, labels == 1, group_of)
    # 250 groups: leverage and t are next to nothing. Both areas of two classes are the same.
    assert found.var() == pytest.approx(expected, rel=0.08)
    assert found.mean() == pytest.approx(sk.roc_auc_score(labels, positive), abs=1e-3)


def test_groups_of_one_image_spread_as_images_do() -> None:
    outputs, labels, _ = groups_of_images(np.random.default_rng(4), 60, is_pure=False)
    alone = np.arange(len(labels))
    ranking = rank(outputs[0], labels)
    by_group = group_weights(alone, n_draws=4000, seed=0)
    by_image = image_weights(OneLabel(labels, N_CLASSES), n_draws=4000, seed=0)
    found = group_resampled_area(ranking, by_group, alone).std()
    assert found == pytest.approx(resampled_area(ranking, by_image).std(), rel=0.06)


def test_one_class_has_no_auroc() -> None:
    ranking = rank(np.full((4, 2), 0.5), np.zeros(4, dtype=int))
    group_of = np.array([0, 0, 1, 1])
    weights = group_weights(group_of, n_draws=3, seed=0)
    assert np.isnan(group_resampled_area(ranking, weights, group_of)).all()


def test_few_groups_widen_by_t_over_z() -> None:
    draws = np.array([0.4, 0.5, 0.6])
    found = widened(draws, np.repeat(np.arange(10), 3))
    factor = student.ppf(0.975, 9) / 1.959964
    np.testing.assert_allclose(found, 0.5 + factor * (draws - 0.5), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("is_pure", [True, False])
def test_intervals_over_groups_cover_and_those_over_images_do_not(is_pure: bool) -> None:
    """The gap of two models on 40 groups of 2 to 20 images."""
    by_group, by_image = coverage(40, is_pure=is_pure, n_studies=250)
    # 93 to 97 % is promised; the share itself has a standard error of 1.4 %.
    assert (by_group > 0.915).all(), by_group
    assert (by_group < 0.985).all(), by_group
    assert (by_image < 0.9).all(), by_image
