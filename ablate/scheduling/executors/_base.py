"""What every executor promises, and the one way in which a trial is run, wherever that is."""

from __future__ import annotations

import importlib
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ablate.errors import CheckFailed
from ablate.study.request import TrialRequest
from ablate.tracking.events import (
    EpochEnded,
    Event,
    Failure,
    TrialEnded,
    TrialOutcome,
    TrialStarted,
    TrialState,
)

Emit = Callable[[int, int, dict[str, float]], None]
"""(epoch, n_epochs, metrics): what a trial calls at the end of each epoch."""
# Kinds of a Failure that the trial itself did not raise.
WORKER_DIED = "WorkerDied"
WORKER_SILENT = "WorkerSilent"
TRIAL_TIMEOUT = "TrialTimeout"
RunTrial = Callable[[TrialRequest, Emit], TrialOutcome]
OnEvent = Callable[[Event], bool | None]
"""Hears an event; True after an epoch asks its trial to end there, as PRUNED."""
Take = Callable[[str], TrialRequest | None]
"""Slot name -> the next request for it, or None when there is nothing to do until a running trial
ends."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one trial at a time runs."""

    name: str
    """Unique among an executor's slots, e.g. "cpu:0"."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that must stand before the slot imports torch."""


class Executor(Protocol):
    """Runs trials on slots.

    What runs them is named, not passed, so that a worker imports it itself and the caller never
    needs torch.
    """

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots, in the order in which they are filled."""
        ...

    def run(self, take: Take, on_event: OnEvent) -> None:
        """Run what `take` hands out; return when it has nothing and nothing is running.

        For each request `on_event` gets one TrialStarted, its EpochEnded in order, and one
        TrialEnded, COMPLETE, PRUNED or FAILED, whatever happens. A trial whose epoch `on_event`
        answered with True ends as PRUNED, there or an epoch later, unless it had none left. Both
        functions are called in the caller's thread. `take` is asked again after every end. An
        exception of theirs (KeyboardInterrupt included) ends the workers and is raised; trials that
        ran then have no end, and it is the caller who knows what to make of that.
        """
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a trial may take, and how long its worker may send nothing."""

    timeout_s: float | None
    silent_s: float

    def overrun(self, *, ran_s: float) -> str:
        """What is wrong with a trial that has run for so long; empty where nothing is."""
        if self.timeout_s is None or ran_s <= self.timeout_s:
            return ""
        return f"the trial must end within {self.timeout_s:g} s (--trial-timeout), it did not"

    def silence(self, slot: str, *, silent_s: float) -> str:
        """What is wrong with a worker that has sent nothing for so long; empty where nothing is."""
        if silent_s <= self.silent_s:
            return ""
        return (
            f"the worker of slot {slot} must send a sign of life every {self.silent_s:g} s, "
            "it did not"
        )


def load(name: str) -> RunTrial:
    """Return the function that `name` means, e.g. "ablate.training.trial_run:run_trial".

    Raises CheckFailed when there is none.
    """
    module, _, function = name.partition(":")
    # Imported here, in the process that trains: the conductor never needs torch.
    run_trial = getattr(importlib.import_module(module), function, None)
    if not callable(run_trial):
        raise CheckFailed(f"a run function must be named module:function, {name!r} is none.")
    return run_trial  # type: ignore[no-any-return]


def execute(name: str, request: TrialRequest, on_event: OnEvent) -> None:
    """Run one request in this process and report its epochs and its end.

    Whatever the trial raises becomes FAILED; what `on_event` raises is raised.
    """
    trial_id = request.trial.trial_id

    def emit(epoch: int, n_epochs: int, metrics: dict[str, float]) -> None:
        # Numpy's numbers, and torch's, are none of JSON's.
        numbers = {metric: float(value) for metric, value in metrics.items()}
        event = EpochEnded(trial_id, request.attempt, epoch, n_epochs, numbers, at=time.time())
        try:
            is_hopeless = on_event(event)
        except BaseException as error:
            raise _ListenerFailed from error
        # To end after the last epoch would save no time: the trial completes, and its score counts.
        if is_hopeless and epoch + 1 < n_epochs:
            raise _Pruned

    try:
        # `_end` returns the event instead of sending it: what the listener raises there is no
        # failure of the trial.
        on_event(_end(name, request, emit))
    except _ListenerFailed as wrapped:
        raise (wrapped.__cause__ or wrapped) from None


def started(request: TrialRequest, *, slot: str) -> TrialStarted:
    """The event of a request that a slot runs from now on."""
    return TrialStarted(request.trial.trial_id, request.attempt, slot=slot, at=time.time())


def failed(request: TrialRequest, failure: Failure) -> TrialEnded:
    """The event of a request that ends now, by `failure`."""
    trial_id = request.trial.trial_id
    at = time.time()
    return TrialEnded(trial_id, request.attempt, TrialState.FAILED, at=at, failure=failure)


def failure_of(error: BaseException) -> Failure:
    """Why a trial failed, by the exception that is being handled."""
    message = str(error).partition("\n")[0]
    return Failure(type(error).__name__, message, traceback=traceback.format_exc())


def _end(name: str, request: TrialRequest, emit: Emit) -> TrialEnded:
    trial_id = request.trial.trial_id
    attempt = request.attempt
    try:
        outcome = load(name)(request, emit)
        # Checked here, by every executor: what is missing would be missed by a report weeks later.
        missing = [file for file in outcome.files if not (request.folder / file).is_file()]
        if missing:
            raise CheckFailed(
                "a completed trial must leave the files that it names, "
                f"missing in {request.folder}: {', '.join(missing)}"
            )
    except _Pruned:
        return TrialEnded(trial_id, attempt, TrialState.PRUNED, at=time.time())
    except (Exception, SystemExit) as error:  # KeyboardInterrupt is the conductor's business
        return failed(request, failure_of(error))
    return TrialEnded(trial_id, attempt, TrialState.COMPLETE, at=time.time(), outcome=outcome)


class _ListenerFailed(BaseException):
    """Carries an exception of the listener through the trial's own `except Exception`."""


class _Pruned(BaseException):
    """Ends a trial from within its `emit`, through its own `except Exception`."""
