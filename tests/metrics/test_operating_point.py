"""Thresholds and temperature against scikit-learn and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn import metrics as sk

from ablate.metrics.calibration import fit_temperature, with_temperature
from ablate.metrics.operating_point import at_threshold, average_precision, threshold_for_precision


def scored(seed: int = 0):
    rng = np.random.default_rng(seed)
    is_positive = rng.random(200) < 0.3
    return np.round(rng.normal(size=200) + 1.5 * is_positive, 1), is_positive  # rounded: ties


def test_average_precision_equals_scikit_learn() -> None:
    scores, is_positive = scored()
    assert average_precision(scores, is_positive) == pytest.approx(
        sk.average_precision_score(is_positive, scores)
    )
    assert np.isnan(average_precision(scores, np.zeros(200, dtype=bool)))


@pytest.mark.parametrize("target", [0.5, 0.8, 0.9])
def test_the_threshold_has_the_highest_recall_that_keeps_the_precision(target: float) -> None:
    scores, is_positive = scored()
    found = threshold_for_precision(scores, is_positive, target=target)
    points = [at_threshold(scores, is_positive, value) for value in np.unique(scores)]
    assert found == min(point.threshold for point in points if point.precision >= target)


def test_a_precision_that_cannot_be_kept_has_no_threshold() -> None:
    assert (
        threshold_for_precision(np.array([0.9, 0.1]), np.array([False, True]), target=0.9) is None
    )
    assert np.isnan(at_threshold(np.array([0.1]), np.array([True]), 0.5).precision)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_temperature_equals_a_minimiser_of_the_log_loss(sharpness: float) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 5
    logits = sharpness * (rng.normal(size=(300, 5)) + 1.5 * np.eye(5)[labels])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    def loss(log_t: float) -> float:
        return sk.log_loss(labels, with_temperature(probabilities, np.exp(log_t)))

    expected = np.exp(
        minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-8}).x
    )
    assert fit_temperature(probabilities, labels) == pytest.approx(expected, rel=1e-3)


def test_temperature_keeps_the_order_and_one_changes_nothing() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(with_temperature(probabilities, 1.0), probabilities)
    softened = with_temperature(probabilities, 2.0)
    assert (softened.argmax(axis=1) == probabilities.argmax(axis=1)).all() and softened.max() < 0.8
