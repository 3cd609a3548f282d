"""Single-label classification with cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ablate.metrics.classification import score


@dataclass(frozen=True, eq=False)
class Classification:
    """Cross-entropy with label smoothing and optional class weights; predictions are probabilities."""

    label_smoothing: float = 0.0
    class_weights: Tensor | None = None
    """(C,) float32 on the device of the logits."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of logits (B, C) and labels (B,); with class weights the mean is weighted (torch's definition)."""
        return F.cross_entropy(outputs.float(), targets, weight=self.class_weights, label_smoothing=self.label_smoothing)

    def mass(self, targets: Tensor) -> float | Tensor:
        """The number of labels (B,), or the sum of their classes' weights."""
        return len(targets) if self.class_weights is None else self.class_weights[targets].sum()

    def predict(self, outputs: Tensor) -> Tensor:
        """Logits (B, C) -> probabilities (B, C) float32."""
        return torch.softmax(outputs.float(), dim=1)

    def evaluate(self, predictions: NDArray[np.float32], targets: NDArray[np.int64]) -> dict[str, float]:
        """Scores of probabilities (N, C) against labels (N,); see `ablate.metrics`."""
        return score(predictions, targets)


def balanced_class_weights(labels: NDArray[np.int64], *, n_classes: int) -> Tensor:
    """Return N / (n_classes * n_c) for each class (scikit-learn's "balanced"), shape (n_classes,) float32. Every class must have an image."""
    counts = np.bincount(labels, minlength=n_classes)
    return torch.from_numpy((len(labels) / (n_classes * counts)).astype(np.float32))
