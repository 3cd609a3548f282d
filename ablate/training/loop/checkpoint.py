"""The checkpoint: where training stands after a whole epoch, in one file, from which another process goes on with the same numbers.

One safetensors file, tensors and JSON header together, so that they cannot disagree; written beside, flushed and renamed, so that it is whole or not there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ablate.model.delta import delta, load_delta
from ablate.model.weights.tensor_values import digest_of_tensors
from ablate.training.loop.active_phase import Stage

FILE = "checkpoint.safetensors"
VERSION = 3
_SHA256 = "sha256"
_LOG = logging.getLogger(__name__)


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
class Progress:
    """All that the next epoch depends on besides network, optimizer, scaler, averaged weights and torch's generators."""

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
        self.phase, self.first_epoch, self.first_step = phase, self.n_epochs, self.n_steps


@dataclass(frozen=True)
class Kept:
    """What a checkpoint holds."""

    progress: Progress
    _header: dict[str, Any]
    _tensors: dict[str, Tensor]

    def put_back(self, stage: Stage) -> None:
        """Put everything back as it was, into the stage of the phase that `progress` names; torch's generators too."""
        load_delta(stage.whole, _below("network", self._tensors))
        _load_optimizer(
            stage.optimizer, _below("optimizer", self._tensors), self._header["optimizer"]
        )
        stage.scaler.load_state_dict(self._header["scaler"])
        if stage.average is not None:
            stage.average.load(_below("average", self._tensors))
        _set_generators(_below("generator", self._tensors))


class Checkpoint:
    """One trial's checkpoint. What it was written by (`identity`) must be what reads it, else it is left aside and the trial starts at its beginning."""

    def __init__(self, folder: Path | None, *, identity: Mapping[str, Any], every_s: float) -> None:
        """Nothing is kept without a `folder`, and no epoch sooner than `every_s` seconds after the one kept before: short trials pay nothing."""
        self._path = None if folder is None else folder / FILE
        self._identity = {"version": VERSION, "torch": torch.__version__, **identity}
        self._every_s, self._last = every_s, time.monotonic()

    def read(self) -> Kept | None:
        """Return what was kept of the last whole epoch; None where nothing was, or by another trial, or where it cannot be read."""
        if self._path is None or not self._path.is_file():
            return None
        try:
            with safe_open(self._path, framework="pt") as file:
                described = file.metadata()
                header = json.loads(described["ablate"])
                if header["identity"] != self._identity:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dictionary
            if _digest(tensors, described["ablate"]) != described[_SHA256]:
                raise ValueError("its digest does not match")
            return Kept(_progress(header["progress"], tensors), header, tensors)
        except (
            Exception
        ) as error:  # a damaged file raises anything, and costs the checkpoint, not the trial
            _LOG.warning(
                "the checkpoint %s cannot be read (%s); the trial starts at its beginning",
                self._path,
                error,
            )
            return None

    def save(self, progress: Progress, stage: Stage) -> None:
        """Keep a whole epoch, where it is time and some epoch had a score. A disk that is full costs the checkpoint, not the trial."""
        if (
            self._path is None
            or time.monotonic() - self._last < self._every_s
            or progress.best is None
        ):
            return
        optimizer_tensors, optimizer_values = _optimizer_state(stage.optimizer)
        tensors = {
            **_above("network", delta(stage.whole)),
            **_above("optimizer", optimizer_tensors),
            **_above(
                "average",
                {}
                if stage.average is None
                else {
                    name: tensor.cpu().contiguous()
                    for name, tensor in stage.average.tensors.items()
                },
            ),
            **_above("generator", _generators()),
            **_above("best", progress.best.state),
            "predictions": torch.from_numpy(np.ascontiguousarray(progress.best.predictions)),
        }
        header = {
            "identity": self._identity,
            "optimizer": optimizer_values,
            "scaler": stage.scaler.state_dict(),
            "progress": _described(progress),
        }
        try:
            _write(self._path, tensors, json.dumps(header))
        except (OSError, SafetensorError) as error:
            _LOG.warning(
                "the checkpoint %s cannot be written (%s); the trial goes on without",
                self._path,
                error,
            )
        self._last = time.monotonic()


def _write(path: Path, tensors: dict[str, Tensor], header: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    save_file(tensors, half, metadata={"ablate": header, _SHA256: _digest(tensors, header)})
    with half.open("rb") as file:
        os.fsync(file.fileno())
    half.replace(path)


def _digest(tensors: Mapping[str, Tensor], header: str) -> str:
    """sha256 of all that a checkpoint holds: a damaged one is told from a whole one, and no byte of it is trained on."""
    return hashlib.sha256(f"{digest_of_tensors(tensors)} {header}".encode()).hexdigest()


def _described(progress: Progress) -> dict[str, Any]:
    best = progress.best
    plain = {
        one.name: getattr(progress, one.name)
        for one in dataclasses.fields(progress)
        if one.name != "best"
    }
    return {**plain, "best": None if best is None else {"epoch": best.epoch, "scores": best.scores}}


def _progress(values: dict[str, Any], tensors: Mapping[str, Tensor]) -> Progress:
    best = Best(
        **values["best"], predictions=tensors["predictions"].numpy(), state=_below("best", tensors)
    )
    return Progress(**{**values, "best": best})


def _optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Its state, that of parameters by `<index>.<name>` and that of groups by `group<index>.<name>`: tensors on the CPU, and what is no tensor."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    described = optimizer.state_dict()
    groups = {
        f"group{index}": {name: group[name] for name in group.keys() - _SET_EACH_TIME}
        for index, group in enumerate(described["param_groups"])
    }
    for index, state in [*described["state"].items(), *groups.items()]:
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value.detach().cpu().contiguous().clone()
            elif value is None or isinstance(value, bool | int | float | str):
                values[f"{index}.{name}"] = value
    return tensors, values


_SET_EACH_TIME = {"params", "lr", "name"}
"""Of an optimizer's groups: made with it, or set by the schedule before every step."""


def _load_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Inverse of `_optimizer_state`. Learning rates stay: the schedule sets them before every step.

    State of a parameter gets the parameter's own memory layout: fused optimizers walk both as flat memory, and channels_last is not contiguous.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *values.items()]:
        index, _, name = key.partition(".")
        if index.startswith("group"):
            optimizer.param_groups[int(index.removeprefix("group"))][name] = value
            continue
        parameter = parameters[int(index)]
        if isinstance(value, Tensor) and value.shape == parameter.shape and value.ndim:
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _generators() -> dict[str, Tensor]:
    """State of torch's global generators: dropout and drop-path draw from them."""
    devices = (
        {f"cuda:{index}": state for index, state in enumerate(torch.cuda.get_rng_state_all())}
        if torch.cuda.is_available()
        else {}
    )
    return {"cpu": torch.get_rng_state(), **devices}


def _set_generators(states: Mapping[str, Tensor]) -> None:
    for device, state in states.items():
        if device == "cpu":
            torch.set_rng_state(state)
        else:
            torch.cuda.set_rng_state(state, device)


def _above(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}/"): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}/")
    }
