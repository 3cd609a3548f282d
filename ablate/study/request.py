"""What an executor is handed: one attempt at one trial, where its images are and its files go."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from ablate.recipe.recipe import Recipe
from ablate.study.trial import Trial
from ablate.study.weights_identity import WeightsIdentity


class Compute(BaseModel):
    """How a slot computes. Decided once per study: no score depends on which slot ran it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    # Nothing here has a default that the machine decides: the study's conductor measures and fills
    # it in, so that every slot computes alike.
    device: Literal["cpu", "cuda"]
    precision: Literal["fp32", "bf16", "fp16"]
    """What `precision: auto` means on this machine."""
    channels_last: bool
    is_depthwise_fp32: bool = False
    """Whether gradients of depthwise convolutions are faster in fp32 where the rest is bf16."""
    threads: int = Field(ge=1)
    """CPU threads of one slot."""

    def of(self, recipe: Recipe) -> Self:
        """Return how a slot computes a recipe: in its own precision, where it names one."""
        # The study's choice, which the conductor has measured.
        if recipe.precision == "auto":
            return self
        return self.model_copy(update={"precision": recipe.precision})


class CacheSpec(BaseModel):
    """Where activations of frozen prefixes are kept for other trials."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    folder: Path
    max_gb: float = Field(ge=0)
    """0: nothing is kept or shared. A trial's rows are computed as shared ones are, so that its
    numbers are the same."""
    waypoints: tuple[int, ...] = ()
    """Freeze depths at which other trials of the backbone cut: their activations are kept too."""
    n_users: int = Field(default=2, ge=1)
    """Trials of the study that need this trial's views of train; augmented views that only one
    trial needs are not kept."""
    n_drawers: int = Field(default=1, ge=1)
    """Who of the study draws the same views of train as images: trials that train their whole
    network, and one pass of each frozen prefix. Views that are drawn once are not kept."""


class CheckpointSpec(BaseModel):
    """Where a trial keeps its last whole epoch for another attempt."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    folder: Path
    """The trial's own; it outlives the attempt."""
    every_s: float = Field(ge=0)
    """Seconds of work that a killed trial may lose besides the epoch that it was in."""


class TrialRequest(BaseModel):
    """One attempt at one trial. Plain JSON values, so that it can cross a process or a network."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    trial: Trial
    attempt: int = Field(ge=1)
    n_classes: int = Field(ge=2)
    store_path: Path
    """Folder of the image store that `data.store` built."""
    folder: Path
    """Where the attempt's files go: exists and is empty."""
    compute: Compute
    sides: str | None = None
    """A letter for each image of the store, see `data.sides`, where the trial has a split of its
    own; None where the store has train, val and test."""
    cache: CacheSpec | None = None
    """None: the whole network runs uncut, the slow path that proves the fast one. A bound of 0 GB
    cuts it, and shares nothing."""
    weights: WeightsIdentity | None = None
    """What the study's trials with these weights start from; a trial that meets others fails.
    None: random, or nobody knows."""
    checkpoint: CheckpointSpec | None = None
    """None: an attempt starts at the trial's beginning."""
