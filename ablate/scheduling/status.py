"""How a study stands, from its folder alone: any process may look, at any time, while the conductor
works or after it died.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.scheduling.lease import holder
from ablate.scheduling.optuna_lag import n_missing
from ablate.scheduling.remaining import StudyClock
from ablate.scheduling.study_folder import StudyFolder
from ablate.tracking.events import TrialState
from ablate.tracking.journal import Attempt, attempts
from ablate.tracking.projection import failure_line

RUNNING, WAITING = "RUNNING", "WAITING"


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """What one slot does."""

    slot: str
    trial: str
    attempt: int
    n_epochs_done: int
    n_epochs: int | None
    """None before the first epoch has ended."""
    for_s: float
    """Seconds since the attempt began."""


@dataclass(frozen=True, slots=True)
class FailureStatus:
    """A trial whose last attempt failed."""

    trial: str
    attempt: int
    line: str
    """The failure's first line."""
    path: str
    """File with the full traceback."""


@dataclass(frozen=True, slots=True)
class StudyStatus:
    """Trials by state, and how fast they come."""

    study: str
    """The study's folder name."""
    stage: str
    """`search` or `tune` for a study that prepares another one; else empty."""
    conductor: str | None
    """Who owns the study now; None where nobody runs it."""
    n_trials: int
    states: dict[str, int]
    """COMPLETE, PRUNED, FAILED, KILLED (the next call runs it again), RUNNING, WAITING: they add up
    to `n_trials`."""
    n_attempts: int
    trials_per_hour: float | None
    """Of the slots that are busy now, by the median time of a completed trial; None where nothing
    runs or nothing is known."""
    left_s: float | None
    """Until all trials have ended, by what trials of each kind took; None where nothing runs or
    nothing is known."""
    is_left_at_least: bool
    """Whether it may well be more: see `Left`."""
    slots: tuple[SlotStatus, ...]
    failures: tuple[FailureStatus, ...]
    repeats: dict[str, int]
    """Attempts beyond the first of their trial, by what ended the attempt before: `WorkerDied`,
    `KILLED`, ..."""
    n_not_in_optuna: int | None
    """Attempts that have ended and that Optuna's storage lacks; None where it is not the file
    beside the study."""
    damage: str = ""
    """What is damaged in the journal, in a sentence; empty where nothing is. The next call mends
    it."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to run: every trial has ended for good."""
        return all(
            self.states.get(state, 0) == 0
            for state in (RUNNING, WAITING, TrialState.KILLED.value, TrialState.FAILED.value)
        )


def study_status(path: Path) -> StudyStatus:
    """Read the study in the folder `path`. Raises StoreError where the folder holds none."""
    folder = StudyFolder(path)
    plan, conductor = folder.read_plan(), holder(path)
    arms = {arm.arm_id: arm.name for arm in plan.record.arms}
    names = {trial.trial_id: f"{arms[trial.arm_id]}, seed {trial.seed}" for trial in plan.trials}
    reading = folder.journal.reading()
    found = {key: attempt for key, attempt in attempts(reading.events).items() if key[0] in names}
    last: dict[str, Attempt] = {}
    for (trial_id, _), attempt in found.items():
        if trial_id not in last or not last[trial_id].is_complete:
            last[trial_id] = attempt
    states = Counter(
        _state(last.get(trial_id), is_conducted=conductor is not None) for trial_id in names
    )
    stage = plan.record.stage
    n_trials = max(
        len(names), 0 if stage is None or folder.is_exhausted(stage.n_trials) else stage.n_trials
    )
    states[WAITING] += n_trials - len(names)  # what a search has not proposed yet
    running = (
        [attempt for attempt in last.values() if attempt.is_running]
        if conductor is not None
        else []
    )
    durations = [
        attempt.ended.at - attempt.started.at
        for attempt in found.values()
        if attempt.is_complete and attempt.ended is not None
    ]
    per_second = (
        len(running) / max(statistics.median(durations), 1e-3) if running and durations else None
    )
    clock = StudyClock({trial.trial_id: trial.recipe for trial in plan.trials}, n_trials)
    clock.hear_all(event for attempt in found.values() for event in attempt.events)
    left = None if conductor is None else clock.left(time.time())
    return StudyStatus(
        study=path.name,
        stage="" if stage is None else stage.kind,
        conductor=conductor,
        n_trials=n_trials,
        states={state: count for state, count in sorted(states.items()) if count},
        n_attempts=len(found),
        trials_per_hour=None if per_second is None else per_second * 3600,
        left_s=None if left is None else left.seconds,
        is_left_at_least=left is not None and left.is_at_least,
        slots=tuple(
            sorted((_slot(attempt, names) for attempt in running), key=lambda slot: slot.slot)
        ),
        failures=tuple(
            _failure(attempt, names, folder)
            for attempt in last.values()
            if attempt.ended is not None and attempt.ended.state is TrialState.FAILED
        ),
        damage=reading.sentence(folder.journal.path),
        repeats=_repeats(found),
        n_not_in_optuna=n_missing(
            path, {key for key, attempt in found.items() if attempt.ended is not None}
        ),
    )


def _repeats(found: Mapping[tuple[str, int], Attempt]) -> dict[str, int]:
    """What ended the attempts that were followed by another one of their trial -> how often, the
    most frequent first.
    """
    reasons: Counter[str] = Counter()
    for trial_id, number in found:
        before = found.get((trial_id, number - 1))
        if before is not None and before.ended is not None:
            failure, state = before.ended.failure, before.ended.state
            reasons[
                failure.kind if state is TrialState.FAILED and failure is not None else state.value
            ] += 1
    return dict(reasons.most_common())


def _state(attempt: Attempt | None, *, is_conducted: bool) -> str:
    if attempt is None:
        return WAITING
    if attempt.ended is None:
        return RUNNING if is_conducted else TrialState.KILLED.value
    return attempt.ended.state.value


def _slot(attempt: Attempt, names: dict[str, str]) -> SlotStatus:
    started, epoch = attempt.started, attempt.epochs[-1] if attempt.epochs else None
    return SlotStatus(
        slot=started.slot,
        trial=names[started.trial_id],
        attempt=started.attempt,
        n_epochs_done=0 if epoch is None else epoch.epoch + 1,
        n_epochs=None if epoch is None else epoch.n_epochs,
        for_s=time.time() - started.at,
    )


def _failure(attempt: Attempt, names: dict[str, str], folder: StudyFolder) -> FailureStatus:
    started = attempt.started
    assert attempt.ended is not None
    line = "" if attempt.ended.failure is None else failure_line(attempt.ended.failure)
    return FailureStatus(
        names[started.trial_id],
        started.attempt,
        line,
        str(folder.failure(started.trial_id, started.attempt)),
    )
