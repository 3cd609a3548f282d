"""The seam between the loop and what is learned."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Task(Protocol):
    """A loss to learn from and scores to judge by."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Scalar loss of a batch, in fp32."""
        ...

    def mass(self, targets: Tensor) -> float | Tensor:
        """What a batch's mean loss is divided by: parts of a batch are weighted by it, so that their sum is the loss of the whole."""
        ...

    def predict(self, outputs: Tensor) -> Tensor:
        """What is stored for a batch of outputs: (B, ...) float32."""
        ...

    def evaluate(
        self, predictions: NDArray[np.float32], targets: NDArray[np.int64]
    ) -> dict[str, float]:
        """Scores of a whole split, by metric name without the split."""
        ...
