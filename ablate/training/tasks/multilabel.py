"""Images with several labels: binary cross-entropy of each class by itself; labels may be mixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ablate.metrics.multilabel import score


@dataclass(frozen=True, eq=False)
class Multilabel:
    """A loss with label smoothing and optional weights of the positives; predictions are probabilities that need not sum to 1.

    Targets are 0 and 1 (B, C), or shares (B, C) in [0, 1] of mixed images.
    """

    label_smoothing: float = 0.0
    """Target = label * (1 - smoothing) + smoothing / 2: the uniform distribution over yes and no."""
    class_weights: Tensor | None = None
    """(C,) float32 on the device of the logits: what a yes weighs beside a no (torch's `pos_weight`)."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Of logits (B, C): the sum over the classes, mean over the images."""
        wanted = targets.float() * (1 - self.label_smoothing) + self.label_smoothing / 2
        return F.binary_cross_entropy_with_logits(
            outputs.float(), wanted, pos_weight=self.class_weights, reduction="sum"
        ) / self.mass(targets)

    def mass(self, targets: Tensor) -> float | Tensor:
        """The number of images."""
        return len(targets)

    def predict(self, outputs: Tensor) -> Tensor:
        """Logits (B, C) -> probabilities (B, C) float32."""
        return torch.sigmoid(outputs.float())

    def evaluate(
        self, predictions: NDArray[np.float32], targets: NDArray[np.int64]
    ) -> dict[str, float]:
        """Scores of probabilities (N, C) against labels (N, C); see `ablate.metrics.multilabel`."""
        return score(predictions, targets)
