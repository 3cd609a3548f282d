"""How a study stands, from its folder alone: any process may look, at any time, while the conductor works or after it died."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import statistics
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ablate.scheduling.lease import holder
from ablate.scheduling.study_folder import OPTUNA_FILE, StudyFolder
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
    """COMPLETE, PRUNED, FAILED, KILLED (the next call runs it again), RUNNING, WAITING: they add up to `n_trials`."""
    n_attempts: int
    n_retries: int
    """Attempts beyond the first of each trial."""
    n_behind_in_optuna: int | None
    """Ended attempts that Optuna's file does not have yet, the next call tells it; None where no such file can be read."""
    damage: str
    """What is damaged in the journal, in a sentence; empty where nothing is. The next call mends it."""
    trials_per_hour: float | None
    """Of the slots that are busy now, by the median time of a completed trial; None where nothing runs or nothing is known."""
    left_s: float | None
    """Until all trials have ended, at that rate."""
    slots: tuple[SlotStatus, ...]
    failures: tuple[FailureStatus, ...]


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
    states = Counter(_state(last.get(trial_id), is_conducted=conductor is not None) for trial_id in names)
    stage = plan.record.stage
    n_trials = max(len(names), 0 if stage is None or folder.is_exhausted(stage.n_trials) else stage.n_trials)
    states[WAITING] += n_trials - len(names)  # what a search has not proposed yet
    running = [attempt for attempt in last.values() if attempt.is_running] if conductor is not None else []
    per_second = _per_second(found.values(), n_running=len(running))
    n_open = states[RUNNING] + states[WAITING] + states[TrialState.KILLED.value]
    return StudyStatus(
        study=path.name,
        stage="" if stage is None else stage.kind,
        conductor=conductor,
        n_trials=n_trials,
        states={state: count for state, count in sorted(states.items()) if count},
        n_attempts=len(found),
        n_retries=len(found) - len(last),
        n_behind_in_optuna=_n_behind(path, found.values()),
        damage=reading.sentence(folder.journal.path),
        trials_per_hour=None if per_second is None else per_second * 3600,
        left_s=None if per_second is None else n_open / per_second,
        slots=tuple(sorted((_slot(attempt, names) for attempt in running), key=lambda slot: slot.slot)),
        failures=tuple(_failure(attempt, names, folder) for attempt in last.values() if attempt.ended is not None and attempt.ended.state is TrialState.FAILED),
    )


def _per_second(found: Collection[Attempt], *, n_running: int) -> float | None:
    """Trials that so many busy slots end in a second; None where nothing runs or nothing is known."""
    durations = [attempt.ended.at - attempt.started.at for attempt in found if attempt.is_complete and attempt.ended is not None]
    if not n_running or not durations:
        return None
    return n_running / max(statistics.median(durations), 1e-3)


def _n_behind(path: Path, found: Collection[Attempt]) -> int | None:
    """Read from Optuna's own file without Optuna, which takes a second to import."""
    file = path / OPTUNA_FILE
    if not file.is_file():
        return None
    query = (
        "SELECT DISTINCT a.value_json, b.value_json FROM trial_user_attributes a "
        "JOIN trial_user_attributes b ON a.trial_id = b.trial_id WHERE a.key = 'trial_id' AND b.key = 'attempt'"
    )
    try:
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            has = {(json.loads(trial_id), json.loads(attempt)) for trial_id, attempt in connection.execute(query)}
    except (sqlite3.Error, ValueError, TypeError):
        return None
    ended = {(attempt.started.trial_id, attempt.started.attempt) for attempt in found if not attempt.is_running}
    return len(ended - has)


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
    return FailureStatus(names[started.trial_id], started.attempt, line, str(folder.failure(started.trial_id, started.attempt)))
