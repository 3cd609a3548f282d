"""How well features tell classes apart, computed another way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import balanced_accuracy_score

from ablate.data.dataset import DataSet, load_data
from ablate.study.trial import DataSpec
from ablate.workflow.advice import feature_score as module
from ablate.workflow.advice.feature_score import feature_score, nearest_mean_score


def _by_hand(features: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
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


@pytest.fixture
def stripes(tmp_path: Path) -> DataSet:
    """Three classes that anybody tells apart: stripes across, upright, and none."""
    rng = np.random.default_rng(0)
    for name in ("across", "upright", "plain"):
        (tmp_path / "stripes" / name).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 60, size=(48, 48, 3)).astype(np.uint8)
            if name == "across":
                pixels[number % 4 :: 8] += 180
            if name == "upright":
                pixels[:, number % 4 :: 8] += 180
            Image.fromarray(pixels).save(tmp_path / "stripes" / name / f"{number}.png")
    spec = DataSpec.model_validate(
        {
            "source": "folder",
            "path": "stripes",
            "split_seed": 0,
            "fractions": {"train": 0.6, "val": 0.2, "test": 0.2},
        }
    )
    return load_data(spec, data_dir=tmp_path, allow_fallback=False)[1]


def test_stripes_are_told_apart_by_the_bundled_backbone(stripes: DataSet) -> None:
    score = feature_score(stripes)
    assert score is not None and score > 0.9
    assert feature_score(stripes) == score


def test_without_weights_nobody_can_tell(stripes: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "bundle_of", lambda backbone: None)
    assert feature_score(stripes) is None
