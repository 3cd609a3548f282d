"""How far a training is, and the best epoch so far."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Best:
    """The epoch that is best by `select_by` so far."""

    epoch: int
    scores: dict[str, float]
    """`val/<metric>`."""
    predictions: NDArray[np.float32]
    """Of val, (N, C)."""
    state: dict[str, Tensor]
    """Its delta."""


@dataclass
class TrainingProgress:
    """All that the next epoch depends on besides the state of what trains.

    That is network, optimizer, scaler, averaged weights and torch's generators. Field names are
    those of the JSON in a checkpoint.
    """

    phase: int = 0
    """0-based."""
    first_epoch: int = 0
    """Of the phase."""
    first_step: int = 0
    """Of the phase."""
    n_epochs: int = 0
    """Whole epochs done, over all phases."""
    n_steps: int = 0
    train_s: float = 0.0
    """Seconds in training steps, those of earlier attempts too."""
    history: list[dict[str, float]] = field(default_factory=list)
    """What was emitted, epoch by epoch."""
    best: Best | None = None

    def begin(self, phase: int) -> None:
        """Note that a phase begins here."""
        self.phase = phase
        # Plateaus and schedules count from here.
        self.first_epoch = self.n_epochs
        self.first_step = self.n_steps

    def to_json(self) -> dict[str, Any]:
        """Return the values that JSON can hold: of the best epoch not its arrays."""
        values: dict[str, Any] = {}
        # Not dataclasses.asdict, which would copy every array of the best epoch.
        for each in dataclasses.fields(self):
            values[each.name] = getattr(self, each.name)
        if self.best is not None:
            # Its arrays lie among the tensors of the checkpoint.
            values["best"] = {"epoch": self.best.epoch, "scores": self.best.scores}
        return values
