"""What happens to a trial, as frozen records that travel from a worker to the journal and on to MLflow."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class TrialState(StrEnum):
    """How a trial ended. FAILED carries a reason, never a score."""

    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAILED = "FAILED"
    KILLED = "KILLED"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a trial did not complete."""

    kind: str
    """Name of the exception class, or "WorkerDied"."""
    message: str
    """One line."""
    traceback: str
    """The worker's full traceback; empty when the worker died without one."""


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """What a completed trial found."""

    best_epoch: int
    """0-based epoch with the best `select_by`; the scores below are of the weights at its end."""
    metrics: dict[str, float]
    """`val/macro_f1`, `test/auroc_ovr_macro`, ..., `time/train_s`, `cost/n_trainable`, ...: one number each, the same names in every run."""
    facts: dict[str, str]
    """What is not a number: `device`, `precision`, `weights_source`, `weights_digest`, `units`, ..."""
    files: tuple[str, ...]
    """Artifacts in the attempt's folder: `predictions.parquet`, `delta.safetensors`, ..."""


@dataclass(frozen=True, slots=True)
class TrialStarted:
    trial_id: str
    attempt: int
    """1 for the first try."""
    slot: str
    """Where it runs, e.g. "cpu:0"."""
    at: float
    """Seconds since 1970, UTC."""


@dataclass(frozen=True, slots=True)
class EpochEnded:
    trial_id: str
    attempt: int
    epoch: int
    n_epochs: int
    metrics: dict[str, float]
    """`train/loss`, `val/macro_f1`, ..., `lr/head`."""
    at: float


@dataclass(frozen=True, slots=True)
class TrialEnded:
    trial_id: str
    attempt: int
    state: TrialState
    at: float
    outcome: TrialOutcome | None = None
    failure: Failure | None = None


Event = TrialStarted | EpochEnded | TrialEnded

_KINDS: dict[str, type[TrialStarted] | type[EpochEnded] | type[TrialEnded]] = {
    "trial_started": TrialStarted,
    "epoch_ended": EpochEnded,
    "trial_ended": TrialEnded,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def to_json(event: Event) -> dict[str, Any]:
    """Return the event as JSON values with its kind under `event`."""
    return {"event": _NAMES[type(event)], **dataclasses.asdict(event)}


def from_json(values: dict[str, Any]) -> Event:
    """Inverse of `to_json`. Raises KeyError for a kind that this version does not know, TypeError for unknown or missing fields."""
    fields = dict(values)
    kind = _KINDS[fields.pop("event")]
    if kind is TrialEnded:
        fields["state"] = TrialState(fields["state"])
        if fields.get("outcome") is not None:
            outcome = dict(fields["outcome"])
            fields["outcome"] = TrialOutcome(**{**outcome, "files": tuple(outcome["files"])})
        if fields.get("failure") is not None:
            fields["failure"] = Failure(**fields["failure"])
    return kind(**fields)
