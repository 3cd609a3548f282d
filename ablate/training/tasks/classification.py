"""Single-label classification: cross-entropy, focal loss or one class against the rest.

Labels may be mixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ablate.recipe.recipe import Recipe
from ablate.study.tasks.classification import CLASSIFICATION
from ablate.training.tasks._base import Forward, TrainTargets, on_device, scored
from ablate.training.tasks.class_weights import class_weights, log_shares

Loss = Literal["cross_entropy", "focal", "bce"]


@dataclass(frozen=True, eq=False)
class Classification:
    """A loss with label smoothing and optional class weights; predictions are probabilities.

    Targets are labels (B,) int64, or shares (B, C) float that sum to 1 in each row, of mixed
    images.
    """

    label_smoothing: float = 0.0
    class_weights: Tensor | None = None
    """(C,) float32 on the device of the logits."""
    kind: Loss = "cross_entropy"
    focal_gamma: float = 2.0
    logit_shift: Tensor | None = None
    """(C,) float32 added to the logits in the loss alone: tau * log share of the class.

    Menon et al., 2021, arXiv 2007.07314.
    """

    @classmethod
    def for_training(cls, recipe: Recipe, train: TrainTargets, *, device: str) -> Self:
        """The loss that a recipe asks for, on the classes as they are in the train images."""
        labels = train.targets.array
        weights = class_weights(recipe, labels, class_names=train.class_names)
        shift = None
        if recipe.logit_adjustment:
            shares = torch.from_numpy(log_shares(labels, n_classes=len(train.class_names)))
            shift = (recipe.logit_adjustment * shares).to(device)
        return cls(
            recipe.label_smoothing,
            on_device(weights, device),
            kind=recipe.scored_as,
            focal_gamma=recipe.focal_gamma,
            logit_shift=shift,
        )

    @classmethod
    def for_serving(cls, recipe: Recipe) -> Self:
        """What a recipe was trained with decides how logits become probabilities."""
        return cls(kind=recipe.scored_as)

    def training_loss(self, forward: Forward, images: Tensor, targets: Tensor) -> Tensor:
        """See `Task`."""
        return self.loss(forward(images), targets)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of logits (B, C); with class weights the mean is weighted, as torch's is."""
        # Half-precision logits would lose digits in the softmax: the loss is computed in fp32.
        logits = outputs.float()
        if self.logit_shift is not None:
            logits = logits + self.logit_shift
        is_mixed = targets.ndim == 2
        # torch's own loss where it will do: fused kernels, and the numbers of old studies
        if self.kind == "cross_entropy" and not is_mixed:
            return F.cross_entropy(
                logits, targets, weight=self.class_weights, label_smoothing=self.label_smoothing
            )
        n_classes = logits.shape[1]
        shares = targets if is_mixed else F.one_hot(targets, n_classes).float()
        if self.kind == "bce":
            return self._one_against_rest(logits, shares).sum() / self.mass(targets)
        # Smoothing gives each class an equal part of what is taken from the label.
        smooth = shares * (1 - self.label_smoothing) + self.label_smoothing / n_classes
        log_p = torch.log_softmax(logits, dim=1)
        each = -smooth * log_p  # (B, C)
        if self.kind == "focal":  # Lin et al., 2017 (arXiv 1708.02002)
            each = each * (1 - log_p.exp()) ** self.focal_gamma
        if self.class_weights is not None:
            # A class's weight applies to its term, as in torch: a mixed image weighs as its shares
            # do.
            each = each * self.class_weights
        return each.sum() / self.mass(targets)

    def mass(self, targets: Tensor) -> float | Tensor:
        """The number of images, or the sum of their classes' weights."""
        if self.class_weights is None:
            return len(targets)
        is_mixed = targets.ndim == 2
        if is_mixed:
            return (targets @ self.class_weights).sum()
        return self.class_weights[targets].sum()

    def predictions(self, forward: Forward, images: Tensor) -> Tensor:
        """See `Task`."""
        return self.predict(forward(images))

    def predict(self, outputs: Tensor) -> Tensor:
        """Logits (B, C) -> probabilities (B, C) float32."""
        return probabilities(outputs, kind=self.kind)

    def evaluate(
        self, predictions: NDArray[np.float32], targets: NDArray[np.int64]
    ) -> dict[str, float]:
        """Scores of probabilities (N, C) against labels (N,); see `ablate.metrics`."""
        return scored(CLASSIFICATION.name, predictions, targets)

    def _one_against_rest(self, logits: Tensor, shares: Tensor) -> Tensor:
        """(B, C): an image weighs as its label does in every term, also of the other classes."""
        # (B, C) shares; with one label per image all but one of a row are 0.
        weighed = shares
        if self.class_weights is not None:
            weighed = shares * self.class_weights
        whole = weighed.sum(dim=1, keepdim=True)
        smoothing = whole * self.label_smoothing / logits.shape[1]
        positive = weighed * (1 - self.label_smoothing) + smoothing
        return -(positive * F.logsigmoid(logits) + (whole - positive) * F.logsigmoid(-logits))


def probabilities(outputs: Tensor, *, kind: Loss) -> Tensor:
    """Logits (B, C) -> probabilities (B, C) float32 that sum to 1.

    Softmax, or for bce the classes' own probabilities scaled to that sum, as scikit-learn does.
    """
    if kind != "bce":
        return torch.softmax(outputs.float(), dim=1)
    # softmax of log p is p / sum(p), also where all p are tiny
    return torch.softmax(F.logsigmoid(outputs.float()), dim=1)
