"""How well features tell classes apart, computed another way."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from ablate.workflow.advice.feature_score import nearest_mean_score


def _by_hand(features: np.ndarray, labels: np.ndarray) -> float:
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    predicted = []
    for left_out in range(len(labels)):
        kept = np.arange(len(labels)) != left_out
        best, best_label = -2.0, -1
        for label in sorted(set(labels.tolist())):
            mean = scaled[kept & (labels == label)].mean(axis=0)
            cosine = float(mean @ scaled[left_out] / np.linalg.norm(mean))
            if cosine > best:
                best, best_label = cosine, label
        predicted.append(best_label)
    return float(balanced_accuracy_score(labels, predicted))


@pytest.mark.parametrize("distance", [0.0, 0.5, 5.0])
def test_each_image_is_left_out_once(distance: float) -> None:
    rng = np.random.default_rng(3)
    labels = np.array([0] * 12 + [4] * 7 + [9] * 5)
    features = rng.normal(size=(24, 6))
    features[labels == 4] += distance
    features[labels == 9, 0] -= 2 * distance
    assert nearest_mean_score(features, labels) == pytest.approx(_by_hand(features, labels))


def test_far_classes_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 10)
    features = rng.normal(size=(30, 8)) + 20 * np.eye(3, 8)[labels]
    assert nearest_mean_score(features, labels) == 1.0
