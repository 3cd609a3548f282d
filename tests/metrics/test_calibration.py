"""The reliability diagram against a slow loop, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ablate.metrics.calibration import N_BINS, reliability


def slow_ece(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The definition, bin by bin: bins are open below and closed above."""
    total = 0.0
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    for b in range(N_BINS):
        inside = (top > b / N_BINS) & (top <= (b + 1) / N_BINS)
        if inside.any():
            total += inside.mean() * abs(top[inside].mean() - right[inside].mean())
    return total


@pytest.mark.parametrize("n_classes", [2, 5, 40])
def test_ece_equals_its_definition(n_classes: int) -> None:
    rng = np.random.default_rng(n_classes)
    probabilities = rng.dirichlet(np.full(n_classes, 0.3), 500)
    labels = rng.integers(0, n_classes, 500)
    assert reliability(probabilities, labels).ece == pytest.approx(
        slow_ece(probabilities, labels), abs=1e-12
    )


def test_bins_by_hand() -> None:
    diagram = reliability(np.array([[0.7, 0.3], [0.7, 0.3], [0.02, 0.98]]), np.array([0, 1, 1]))
    assert diagram.count.tolist() == [0] * 10 + [2, 0, 0, 0, 1]
    assert diagram.confidence[[10, 14]] == pytest.approx([0.7, 0.98])
    assert diagram.accuracy[[10, 14]] == pytest.approx([0.5, 1.0])
    assert np.isnan(diagram.confidence[0])
    assert diagram.ece == pytest.approx((2 * 0.2 + 0.02) / 3)


def test_a_certain_and_right_classifier_is_calibrated() -> None:
    assert reliability(np.eye(3), np.arange(3)).ece == 0.0
