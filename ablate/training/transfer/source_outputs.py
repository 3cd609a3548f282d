"""What the pretrained classifier says of the images, recorded once before training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ablate.model.weights.source_classifier import SourceClassifier


@dataclass(frozen=True, eq=False)
class SourceOutputs:
    """The classifier and its outputs on clean images; see `record_source`."""

    classifier: SourceClassifier
    train: Tensor
    """Logits (N, K) float32 of the whole train split in its stored order, on the CPU."""
    relationship: Tensor | None = None
    """p(source class | target class), (C, K); None where nothing asks for it."""
