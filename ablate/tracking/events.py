"""What happens to a trial, as frozen records.

They travel from a worker to the journal and on to MLflow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ablate.study.trial_facts import TrialFacts, read_facts, store_facts


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
    """`val/macro_f1`, `test/auroc_ovr_macro`, ..., `time/train_s`, `cost/n_trainable`, ...: one
    number each, the same names in every run."""
    facts: TrialFacts
    """How they came about: device, precision, weights, units, ..."""
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
# The names and order of the records' fields are those of the lines in journals: `journal_skim`
# matches them to the letter, and older journals hold them for good.


def to_json(event: Event) -> dict[str, Any]:
    """Return the event as JSON values with its kind under `event`."""
    values = {"event": _NAMES[type(event)], **dataclasses.asdict(event)}
    if isinstance(event, TrialEnded) and event.outcome is not None:
        # Without what is not known: `asdict` would write a null for each such fact.
        values["outcome"]["facts"] = store_facts(event.outcome.facts)
    return values


def from_json(values: dict[str, Any]) -> Event:
    """Inverse of `to_json`.

    Raises KeyError for a kind that this version does not know, TypeError for unknown or missing
    fields, ValueError for a value that such a field cannot have.
    """
    # Not the caller's own: what is taken out of it below would be missing there.
    fields = dict(values)
    kind = _KINDS[fields.pop("event")]
    # Before anything is made of them: a dataclass would take any value.
    _check(fields)
    if kind is TrialEnded:
        fields["state"] = TrialState(fields["state"])
        if fields.get("outcome") is not None:
            outcome = dict(fields["outcome"])
            _check(outcome)
            outcome["facts"] = read_facts(outcome["facts"])
            outcome["files"] = tuple(outcome["files"])
            fields["outcome"] = TrialOutcome(**outcome)
        if fields.get("failure") is not None:
            failure = dict(fields["failure"])
            _check(failure)
            fields["failure"] = Failure(**failure)
    return kind(**fields)


# Seconds from 1970 to the year 10000: no clock shows more.
_LATEST = 253402300800.0
# Beyond it, readers in other languages take JSON's numbers as rounded floats.
_LARGEST_COUNT = 2**53


def _check(fields: dict[str, Any]) -> None:
    """Raises ValueError for a value that is not of its field's kind.

    JSON has fewer kinds than Python.
    """
    for name, value in fields.items():
        is_right = _RIGHT.get(name)
        if is_right is not None and not is_right(value):
            raise ValueError(f"{name} cannot be {value!r:.80}")


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_count(value: object) -> bool:
    # type(), not isinstance(): true is an int to Python, and no count.
    return type(value) is int and 0 <= value < _LARGEST_COUNT


def _is_time(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < _LATEST  # type: ignore[operator]


def _is_number(value: object) -> bool:
    # True and false pass as numbers here: metrics of earlier versions hold them.
    return type(value) in (float, bool) or (type(value) is int and abs(value) < _LARGEST_COUNT)


def _are_numbers(value: object) -> bool:
    return type(value) is dict and all(map(_is_number, value.values()))


def _are_facts(value: object) -> bool:
    return type(value) is dict  # `read_facts` checks each of them


def _are_texts(value: object) -> bool:
    return type(value) is list and all(map(_is_text, value))


# Field of any of the records -> whether a value of JSON may stand in it; those of one name share a
# kind. What is missing here (`outcome`, `failure`) is a record of its own, checked as such.
_RIGHT: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("trial_id", "slot", "state", "kind", "message", "traceback"), _is_text),
    **dict.fromkeys(("attempt", "epoch", "n_epochs", "best_epoch"), _is_count),
    "at": _is_time,
    "metrics": _are_numbers,
    "facts": _are_facts,
    "files": _are_texts,
}
