"""Single-label classification: cross-entropy, focal loss or one class against the rest; labels may be mixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ablate.metrics.classification import score

Loss = Literal["cross_entropy", "focal", "bce"]


@dataclass(frozen=True, eq=False)
class Classification:
    """A loss with label smoothing and optional class weights; predictions are probabilities.

    Targets are labels (B,) int64, or shares (B, C) float that sum to 1 in each row, of mixed images.
    """

    label_smoothing: float = 0.0
    class_weights: Tensor | None = None
    """(C,) float32 on the device of the logits."""
    kind: Loss = "cross_entropy"
    focal_gamma: float = 2.0
    logit_shift: Tensor | None = None
    """(C,) float32 added to the logits in the loss alone: tau * log share of the class (Menon et al., 2021, arXiv 2007.07314)."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of logits (B, C); with class weights the mean is weighted (torch's definition)."""
        logits = outputs.float() if self.logit_shift is None else outputs.float() + self.logit_shift
        if self.kind == "cross_entropy" and targets.ndim == 1:
            return F.cross_entropy(
                logits, targets, weight=self.class_weights, label_smoothing=self.label_smoothing
            )
        shares = _shares(targets, n_classes=logits.shape[1])
        if self.kind == "bce":
            return self._one_against_rest(logits, shares).sum() / self.mass(targets)
        smooth = shares * (1 - self.label_smoothing) + self.label_smoothing / logits.shape[1]
        log_p = torch.log_softmax(logits, dim=1)
        each = -smooth * log_p  # (B, C)
        if self.kind == "focal":
            each = (
                each * (1 - log_p.exp()) ** self.focal_gamma
            )  # Lin et al., 2017 (arXiv 1708.02002)
        if self.class_weights is not None:
            each = each * self.class_weights
        return each.sum() / self.mass(targets)

    def mass(self, targets: Tensor) -> float | Tensor:
        """The number of images, or the sum of their classes' weights."""
        if self.class_weights is None:
            return len(targets)
        return (
            self.class_weights[targets].sum()
            if targets.ndim == 1
            else (targets @ self.class_weights).sum()
        )

    def predict(self, outputs: Tensor) -> Tensor:
        """Logits (B, C) -> probabilities (B, C) float32."""
        return probabilities(outputs, kind=self.kind)

    def evaluate(
        self, predictions: NDArray[np.float32], targets: NDArray[np.int64]
    ) -> dict[str, float]:
        """Scores of probabilities (N, C) against labels (N,); see `ablate.metrics`."""
        return score(predictions, targets)

    def _one_against_rest(self, logits: Tensor, shares: Tensor) -> Tensor:
        """(B, C): an image weighs as its label does in every term, also in those of the classes that it is not."""
        weighed = shares if self.class_weights is None else shares * self.class_weights
        whole = weighed.sum(dim=1, keepdim=True)
        positive = (
            weighed * (1 - self.label_smoothing) + whole * self.label_smoothing / logits.shape[1]
        )
        return -(positive * F.logsigmoid(logits) + (whole - positive) * F.logsigmoid(-logits))


def probabilities(outputs: Tensor, *, kind: Loss) -> Tensor:
    """Logits (B, C) -> probabilities (B, C) float32: softmax, or for bce the classes' own probabilities scaled to a sum of 1, as scikit-learn does."""
    if kind != "bce":
        return torch.softmax(outputs.float(), dim=1)
    return torch.softmax(
        F.logsigmoid(outputs.float()), dim=1
    )  # softmax of log p is p / sum(p), also where all p are tiny


def _shares(targets: Tensor, *, n_classes: int) -> Tensor:
    return targets if targets.ndim == 2 else F.one_hot(targets, n_classes).float()
