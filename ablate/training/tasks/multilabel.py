"""Images with several labels: binary cross-entropy of each class by itself; labels may be mixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ablate.recipe.recipe import Recipe
from ablate.study.tasks.multilabel import MULTILABEL
from ablate.training.tasks._base import Forward, TrainTargets, on_device, scored
from ablate.training.tasks.class_weights import positive_weights


@dataclass(frozen=True, eq=False)
class Multilabel:
    """A loss with label smoothing and optional weights of the positives.

    Predictions are probabilities that need not sum to 1. Targets are 0 and 1 (B, C), or shares
    (B, C) in [0, 1] of mixed images.
    """

    label_smoothing: float = 0.0
    """Target = label * (1 - smoothing) + smoothing / 2: uniform over yes and no."""
    class_weights: Tensor | None = None
    """(C,) float32 on the device of the logits: torch's `pos_weight`, of a yes beside a no."""

    @classmethod
    def for_training(cls, recipe: Recipe, train: TrainTargets, *, device: str) -> Self:
        """The loss that a recipe asks for, on the labels as they are in the train images."""
        weights = positive_weights(recipe, train.targets.array, class_names=train.class_names)
        return cls(recipe.label_smoothing, on_device(weights, device))

    @classmethod
    def for_serving(cls, recipe: Recipe) -> Self:  # noqa: ARG003
        """Every loss of the task has the same probabilities."""
        return cls()

    def training_loss(self, forward: Forward, images: Tensor, targets: Tensor) -> Tensor:
        """See `Task`."""
        return self.loss(forward(images), targets)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Of logits (B, C): the sum over the classes, mean over the images."""
        # Mixed images have shares already: smoothing shrinks those towards one half as well.
        smooth = targets.float() * (1 - self.label_smoothing) + self.label_smoothing / 2
        total = F.binary_cross_entropy_with_logits(
            outputs.float(), smooth, pos_weight=self.class_weights, reduction="sum"
        )
        return total / self.mass(targets)

    def mass(self, targets: Tensor) -> float | Tensor:
        """The number of images."""
        return len(targets)

    def predictions(self, forward: Forward, images: Tensor) -> Tensor:
        """See `Task`."""
        return self.predict(forward(images))

    def predict(self, outputs: Tensor) -> Tensor:
        """Logits (B, C) -> probabilities (B, C) float32."""
        return torch.sigmoid(outputs.float())

    def evaluate(
        self, predictions: NDArray[np.float32], targets: NDArray[np.int64]
    ) -> dict[str, float]:
        """Scores of probabilities (N, C) against labels (N, C); see `metrics.multilabel`."""
        return scored(MULTILABEL.name, predictions, targets)
