"""What an executor is handed: one try of one trial, with where to find its images and where to leave its files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ablate.study.trial import Trial
from ablate.study.weights_identity import WeightsIdentity


class Compute(BaseModel):
    """How a slot computes. Decided once for a study, so that no score depends on which slot ran it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    device: Literal["cpu", "cuda"]
    precision: Literal["fp32", "bf16", "fp16"]
    """What `precision: auto` means on this machine."""
    channels_last: bool
    is_depthwise_fp32: bool = False
    """Whether gradients of depthwise convolutions are faster in fp32 where the rest is bf16."""
    threads: int = Field(ge=1)
    """CPU threads of one slot."""


class CacheSpec(BaseModel):
    """Where activations of frozen prefixes are kept for other trials."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    folder: Path
    max_gb: float = Field(ge=0)
    """0: nothing is kept or shared; the rows of a trial are computed as others' are, so that its numbers are the same."""
    waypoints: tuple[int, ...] = ()
    """Freeze depths at which other trials of the backbone cut: their activations are kept on the way."""
    n_users: int = Field(default=2, ge=1)
    """Trials of the study that need this trial's views of train; augmented views of a single one are not kept."""


class CheckpointSpec(BaseModel):
    """Where a trial keeps its last whole epoch for another attempt."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    folder: Path
    """The trial's own; it outlives the attempt."""
    every_s: float = Field(ge=0)
    """Seconds of work that a killed trial may lose besides the epoch that it was in."""


class TrialRequest(BaseModel):
    """One try of one trial. Plain JSON values, so that it can cross a process or a network."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    trial: Trial
    attempt: int = Field(ge=1)
    n_classes: int = Field(ge=2)
    store_path: Path
    """Folder of the image store that `data.store` built."""
    folder: Path
    """Where the attempt's files go: exists and is empty."""
    compute: Compute
    cache: CacheSpec | None = None
    """None: the trial runs its whole network uncut, the slow path that proves the fast one. A bound of 0 GB cuts it, and shares nothing."""
    weights: WeightsIdentity | None = None
    """What the study's trials with these weights start from; the trial ends where it meets others. None: random, or nobody knows."""
    checkpoint: CheckpointSpec | None = None
    """None: an attempt starts at the trial's beginning."""
