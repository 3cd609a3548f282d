"""The checkpoint: where training stands after a whole epoch, in one file.

Another process goes on from it with the same numbers. One safetensors file, tensors and JSON header
together, so that they cannot disagree; written beside, flushed and renamed, so that it is whole or
not there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ablate.model.delta import delta, load_delta
from ablate.model.weights.tensor_values import digest_of_tensors
from ablate.training.loop.active_phase import ActivePhase
from ablate.training.loop.optimizer_state import load_optimizer, optimizer_state
from ablate.training.loop.training_progress import Best, TrainingProgress

FILE = "checkpoint.safetensors"
# Part of the identity: a checkpoint of another version is left aside, and nothing is migrated.
VERSION = 3
_SHA256 = "sha256"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """What a checkpoint holds."""

    progress: TrainingProgress
    _header: dict[str, Any]
    _tensors: dict[str, Tensor]

    def put_back(self, active: ActivePhase) -> None:
        """Put everything back as it was, torch's generators too.

        `active` is the phase that `progress` names.
        """
        # What moves and nothing else: frozen weights come from the backbone, as at the start.
        load_delta(active.whole, _below("network", self._tensors))
        optimizer_tensors = _below("optimizer", self._tensors)
        load_optimizer(active.optimizer, optimizer_tensors, self._header["optimizer"])
        active.scaler.load_state_dict(self._header["scaler"])
        if active.ema is not None:
            active.ema.load(_below("average", self._tensors))
        if active.transfer is not None:
            active.transfer.load(_below("source", self._tensors))
        # Last: building and loading above may draw from torch's generators.
        _set_generators(_below("generator", self._tensors))


class Checkpoint:
    """One trial's checkpoint.

    What it was written by (`identity`) must be what reads it, else it is left aside and the trial
    starts at its beginning.
    """

    def __init__(self, folder: Path | None, *, identity: Mapping[str, Any], every_s: float) -> None:
        """Keep checkpoints in `folder`, or none without one.

        None is kept sooner than `every_s` seconds after the one before: short trials pay nothing.
        """
        self._path = None if folder is None else folder / FILE
        # torch's version, too: other kernels round otherwise, and half a trial each is no trial
        self._identity = {"version": VERSION, "torch": torch.__version__, **identity}
        self._every_s = every_s
        # monotonic: a clock that is set back must not stop checkpoints
        self._last_saved = time.monotonic()

    def read(self) -> Kept | None:
        """Return what was kept of the last whole epoch.

        None where nothing was, or by another trial, or where it cannot be read.
        """
        if self._path is None or not self._path.is_file():
            return None
        try:
            return self._read(self._path)
        # a damaged file raises anything, and costs the checkpoint, not the trial
        except Exception as error:
            _LOG.warning(
                "the checkpoint %s cannot be read (%s); the trial starts at its beginning",
                self._path,
                error,
            )
            return None

    def save(self, progress: TrainingProgress, active: ActivePhase) -> None:
        """Keep a whole epoch, where it is time and some epoch had a score.

        A disk that is full costs the checkpoint, not the trial.
        """
        # Without a best epoch there would be nothing to go back to, and `Best` could not be read.
        is_due = time.monotonic() - self._last_saved >= self._every_s
        if self._path is None or not is_due or progress.best is None:
            return
        optimizer_tensors, optimizer_values = optimizer_state(active.optimizer)
        tensors = _tensors_of(active, optimizer_tensors, progress.best)
        header = {
            "identity": self._identity,
            "optimizer": optimizer_values,
            "scaler": active.scaler.state_dict(),
            "progress": progress.to_json(),
        }
        try:
            _write(self._path, tensors, json.dumps(header))
        except (OSError, SafetensorError) as error:
            _LOG.warning(
                "the checkpoint %s cannot be written (%s); the trial goes on without",
                self._path,
                error,
            )
        self._last_saved = time.monotonic()

    def _read(self, path: Path) -> Kept | None:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            header = json.loads(metadata["ablate"])
            if header["identity"] != self._identity:
                return None
            tensors = _all_tensors(file)
        if _digest(tensors, metadata["ablate"]) != metadata[_SHA256]:
            raise ValueError("its digest does not match")
        values = header["progress"]
        best = Best(
            **values["best"],
            predictions=tensors["predictions"].numpy(),
            state=_below("best", tensors),
        )
        return Kept(TrainingProgress(**{**values, "best": best}), header, tensors)


def _tensors_of(
    active: ActivePhase, optimizer_tensors: Mapping[str, Tensor], best: Best
) -> dict[str, Tensor]:
    # Named by what they belong to, as `put_back` asks for them.
    return {
        **_above("network", delta(active.whole)),
        **_above("optimizer", optimizer_tensors),
        **_above("average", _averaged(active)),
        **_above("source", _source_classifier(active)),
        # torch's generators among the tensors: their states are bytes
        **_above("generator", _generators()),
        **_above("best", best.state),
        "predictions": torch.from_numpy(np.ascontiguousarray(best.predictions)),
    }


def _all_tensors(file: Any) -> dict[str, Tensor]:
    """Every tensor of an open safetensors file, by name."""
    tensors = {}
    names = file.keys()  # not a dictionary: it cannot be iterated over
    for name in names:
        tensors[name] = file.get_tensor(name)
    return tensors


def _write(path: Path, tensors: dict[str, Tensor], header: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata={"ablate": header, _SHA256: _digest(tensors, header)})
    with part.open("rb") as file:
        # before the rename: else a power cut may leave the name without the content
        os.fsync(file.fileno())
    # atomic on one file system: a reader sees the former file or this one
    part.replace(path)


def _digest(tensors: Mapping[str, Tensor], header: str) -> str:
    """sha256 of all that a checkpoint holds, so that no damaged byte is trained on."""
    return hashlib.sha256(f"{digest_of_tensors(tensors)} {header}".encode()).hexdigest()


def _averaged(active: ActivePhase) -> dict[str, Tensor]:
    if active.ema is None:
        return {}
    averaged = {}
    for name, tensor in active.ema.tensors.items():
        averaged[name] = tensor.cpu().contiguous()  # safetensors stores contiguous tensors alone
    return averaged


def _source_classifier(active: ActivePhase) -> dict[str, Tensor]:
    """The pretrained classifier, where it learns beside the network."""
    if active.transfer is None:
        return {}
    tensors = {}
    for name, tensor in active.transfer.state().items():
        tensors[name] = tensor.cpu().contiguous()
    return tensors


def _generators() -> dict[str, Tensor]:
    """State of torch's global generators: dropout and drop-path draw from them."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        for index, state in enumerate(torch.cuda.get_rng_state_all()):
            states[f"cuda:{index}"] = state
    return states


def _set_generators(states: Mapping[str, Tensor]) -> None:
    for device, state in states.items():
        if device == "cpu":
            torch.set_rng_state(state)
        else:
            torch.cuda.set_rng_state(state, device)


def _above(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name -> the same by `prefix/name`."""
    above = {}
    for name, tensor in tensors.items():
        above[f"{prefix}/{name}"] = tensor
    return above


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inverse of `_above`, among all tensors of a checkpoint."""
    start = f"{prefix}/"
    below = {}
    for name, tensor in tensors.items():
        if name.startswith(start):
            below[name.removeprefix(start)] = tensor
    return below
