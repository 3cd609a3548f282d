"""The seam between the loop and what is learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.metrics import SCORING
from ablate.recipe.recipe import Recipe
from ablate.targets import Targets

Forward = Callable[..., Any]
"""Runs the network in the trial's precision: images, and for networks that take them targets."""


class Task(Protocol):
    """A loss to learn from and scores to judge by.

    A task runs the network itself, because some networks (torchvision's detectors) are given the
    targets in training and return their losses. Batches of targets are tensors of what
    `Targets.array` holds, or of shares (B, C) where images are mixed.
    """

    @classmethod
    def for_training(cls, recipe: Recipe, train: TrainTargets, *, device: str) -> Self:
        """What a recipe asks for, given the train images in use."""
        ...

    @classmethod
    def for_serving(cls, recipe: Recipe) -> Self:
        """What predicts as the recipe's trials did; it does not train."""
        ...

    @property
    def class_weights(self) -> Tensor | None:
        """(C,) what the classes weigh in the loss; None where they weigh alike."""
        ...

    def training_loss(self, forward: Forward, images: Tensor, targets: Tensor) -> Tensor:
        """Scalar loss of a batch, in fp32."""
        ...

    def mass(self, targets: Tensor) -> float | Tensor:
        """What a batch's mean loss is divided by.

        Parts of a batch are weighted by it, so that their sum is the loss of the whole.
        """
        ...

    def predictions(self, forward: Forward, images: Tensor) -> Tensor:
        """What is stored for a batch of images: (B, ...) float32. The network is in eval mode."""
        ...

    def predict(self, outputs: Tensor) -> Tensor:
        """The same from the network's outputs, where somebody else ran it."""
        ...

    def evaluate(
        self, predictions: NDArray[np.float32], targets: NDArray[np.int64]
    ) -> dict[str, float]:
        """Scores of a whole split, by metric name without the split."""
        ...


@dataclass(frozen=True, eq=False)
class TrainTargets:
    """The train images that a trial uses, as its loss sees them."""

    targets: Targets
    class_names: Sequence[str]


def scored(
    task: str, predictions: NDArray[np.float32], targets: NDArray[np.int64]
) -> dict[str, float]:
    """Scores of a whole split by the functions of `ablate.metrics`."""
    return SCORING[task].score(predictions, targets)


def on_device(weights: NDArray[np.floating] | None, device: str) -> Tensor | None:
    """Weights of the classes (C,) as float32 on a device; None stays None."""
    if weights is None:
        return None
    # via float32 in numpy: every device gets the same rounding
    return torch.from_numpy(weights.astype(np.float32)).to(device)
