"""Resampled scores against scores of images drawn one by one, and against DeLong's variance."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from ablate.metrics.classification import rank, resampled_macro_f1
from ablate.metrics.resampling import image_weights, resampled_area
from ablate.targets import OneLabel


def predictions(n: int = 120, n_classes: int = 4, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    logits = rng.normal(size=(n, n_classes)) + 1.2 * np.eye(n_classes)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


def test_macro_f1_equals_scikit_learn_with_sample_weights() -> None:
    probabilities, labels = predictions()
    weights = image_weights(OneLabel(labels, 4), n_draws=20, seed=0)
    predicted = probabilities.argmax(axis=1)
    expected = [
        sk.f1_score(labels, predicted, average="macro", sample_weight=row) for row in weights
    ]
    np.testing.assert_allclose(resampled_macro_f1(predicted, labels, weights), expected, rtol=1e-5)


def test_absent_classes_are_left_out() -> None:
    labels, predicted = np.array([0, 0, 2, 2]), np.array([0, 1, 2, 2])
    ones = np.ones((1, 4), dtype=np.float32)
    assert resampled_macro_f1(predicted, labels, ones) == pytest.approx([(2 / 3 + 1) / 2])


def test_draws_keep_the_size_of_each_class_and_are_the_same_again() -> None:
    labels = np.array([0] * 5 + [1] * 7 + [2])
    weights = image_weights(OneLabel(labels, 4), n_draws=50, seed=3)
    for label, n in enumerate((5, 7, 1)):
        np.testing.assert_allclose(weights[:, labels == label].sum(axis=1), n, rtol=1e-5)
    np.testing.assert_array_equal(weights, image_weights(OneLabel(labels, 4), n_draws=50, seed=3))
    assert not np.array_equal(weights, image_weights(OneLabel(labels, 4), n_draws=50, seed=4))


def test_spread_of_a_mean_is_unbiased() -> None:
    values = np.random.default_rng(0).normal(size=6)
    weights = image_weights(OneLabel(np.zeros(6, dtype=int), 1), n_draws=40_000, seed=0)
    assert (weights @ values / 6).var() == pytest.approx(values.var(ddof=1) / 6, rel=0.03)


@pytest.mark.slow
def test_auroc_is_that_of_scikit_learn_and_first_order_right() -> None:
    probabilities, labels = predictions(n=400)
    weights = image_weights(OneLabel(labels, 4), n_draws=200, seed=0)
    found = resampled_area(rank(probabilities, labels), weights)
    exact = [
        np.mean(
            [
                sk.roc_auc_score(labels == c, probabilities[:, c], sample_weight=row)
                for c in range(4)
            ]
        )
        for row in weights
    ]
    assert resampled_area(
        rank(probabilities, labels), np.ones((1, 400), dtype=np.float32)
    ) == pytest.approx(
        [np.mean([sk.roc_auc_score(labels == c, probabilities[:, c]) for c in range(4)])], rel=1e-6
    )
    assert np.std(found) == pytest.approx(np.std(exact), rel=0.03)
    assert np.corrcoef(found, exact)[0, 1] > 0.99


def test_placements_with_ties_are_counted_pair_by_pair() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 3
    scores = rng.integers(0, 5, size=(60, 3)) / 5
    ranking = rank(scores, labels)
    for c in range(3):
        is_class, column = labels == c, scores[:, c]
        wins = (column[is_class][:, None] > column[~is_class]) + 0.5 * (
            column[is_class][:, None] == column[~is_class]
        )
        placed = np.empty(60)
        placed[is_class], placed[~is_class] = wins.mean(axis=1), wins.mean(axis=0)
        np.testing.assert_allclose(ranking.placements[c], placed[ranking.order[c]])
        assert ranking.area[c] == pytest.approx(sk.roc_auc_score(is_class, column))


def test_one_class_has_no_auroc() -> None:
    assert np.isnan(
        resampled_area(
            rank(np.full((3, 2), 0.5), np.zeros(3, dtype=int)),
            np.ones((2, 3), dtype=np.float32),
        )
    ).all()
