"""How a study stands, from its folder alone.

Any process may ask, at any time, while the conductor works or after it died.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.scheduling.lease import holder
from ablate.scheduling.optuna_lag import n_missing
from ablate.scheduling.remaining import Left, StudyClock
from ablate.scheduling.study_folder import StudyFolder, StudyPlan
from ablate.study.arm_record import trial_names
from ablate.study.trial import recipes_by_id
from ablate.tracking.events import TrialEnded, TrialState
from ablate.tracking.journal import Attempt, attempts
from ablate.tracking.mlflow_fields import failure_line

RUNNING = "RUNNING"
WAITING = "WAITING"
# FAILED too: the next call tries such a trial again, so the study is not over.
_UNFINISHED = (RUNNING, WAITING, TrialState.KILLED.value, TrialState.FAILED.value)
# Of a trial, so that none takes no time at all.
_SHORTEST_S = 1e-3
Attempts = Mapping[tuple[str, int], Attempt]
"""(trial_id, attempt) -> its record."""


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
    is_left_rough: bool
    """Whether it may well be another: see `Left`."""
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
    awaits_second_stage: bool = False
    """Whether trials follow that are in no count yet, fresh seeds or arms around the best one: they
    are chosen once all these have ended."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to run: every trial has ended for good."""
        if self.awaits_second_stage:
            return False
        return not any(self.states.get(state, 0) for state in _UNFINISHED)


def study_status(path: Path) -> StudyStatus:
    """Read the study in the folder `path`. Raises StoreError where the folder holds none."""
    return planned_status(path, StudyFolder(path).read_plan())


def planned_status(path: Path, plan: StudyPlan) -> StudyStatus:
    """How the study in the folder `path` stands, which is what `plan` says. Raises StoreError."""
    folder = StudyFolder(path)
    # Before the journal: trials that a conductor ends in between would seem killed otherwise.
    conductor = holder(path)
    reading = folder.journal.skim()
    names = trial_names(plan.record.all_arms, plan.trials)
    known: dict[tuple[str, int], Attempt] = {}
    for key, attempt in attempts(reading.events).items():
        # Trials that left the grid since are in the journal still.
        if key[0] in names:
            known[key] = attempt
    last = _last_attempts(known)
    n_trials = _n_trials(folder, plan)
    # An attempt without an end runs only where somebody runs the study.
    running: list[Attempt] = []
    left: Left | None = None
    if conductor is not None:
        running = [attempt for attempt in last.values() if attempt.is_running]
        left = _left(plan, known, n_trials=n_trials)
    stage = ""
    if plan.record.stage is not None:
        stage = plan.record.stage.kind
    return StudyStatus(
        study=path.name,
        stage=stage,
        conductor=conductor,
        n_trials=n_trials,
        states=_states(names, last, n_trials=n_trials, is_conducted=conductor is not None),
        n_attempts=len(known),
        trials_per_hour=_trials_per_hour(known, n_running=len(running)),
        left_s=None if left is None else left.seconds,
        is_left_rough=left is not None and left.is_rough,
        slots=_slots(running, names),
        failures=_failures(last, names, folder),
        damage=reading.sentence(folder.journal.path),
        repeats=_repeats(known),
        n_not_in_optuna=_n_not_in_optuna(path, known),
        awaits_second_stage=_awaits_second_stage(plan),
    )


def _awaits_second_stage(plan: StudyPlan) -> bool:
    record = plan.record
    # Asked for, and the best arm that it goes around is not chosen yet.
    is_around_open = record.around is not None and not record.around.champion_arm_id
    return is_around_open or (bool(record.n_confirm) and not record.is_confirmation_chosen)


def _n_trials(folder: StudyFolder, plan: StudyPlan) -> int:
    """Trials that the study has in the end: a search proposes them on the way."""
    stage = plan.record.stage
    # A space can hold fewer trials than were asked for: then those that were proposed are all.
    if stage is None or folder.is_exhausted(stage.n_trials):
        return len(plan.trials)
    return max(len(plan.trials), stage.n_trials)


def _last_attempts(known: Attempts) -> dict[str, Attempt]:
    """trial_id -> the attempt that speaks for the trial: one that completed, else its last."""
    last: dict[str, Attempt] = {}
    for (trial_id, _), attempt in known.items():
        if trial_id not in last or not last[trial_id].is_complete:
            last[trial_id] = attempt
    return last


def _states(
    trial_ids: Iterable[str], last: Mapping[str, Attempt], *, n_trials: int, is_conducted: bool
) -> dict[str, int]:
    """State -> number of trials, states without one left out."""
    states: Counter[str] = Counter()
    for trial_id in trial_ids:
        states[_state(last.get(trial_id), is_conducted=is_conducted)] += 1
    states[WAITING] += n_trials - states.total()  # what a search has not proposed yet
    # Sorted, so that two looks at one study read alike.
    return {state: count for state, count in sorted(states.items()) if count}


def _state(attempt: Attempt | None, *, is_conducted: bool) -> str:
    if attempt is None:
        return WAITING
    if attempt.ended is None:
        # Without a conductor nobody runs it; the next call ends it as KILLED and runs it again.
        if is_conducted:
            return RUNNING
        return TrialState.KILLED.value
    return attempt.ended.state.value


def _trials_per_hour(known: Attempts, *, n_running: int) -> float | None:
    durations_s = []
    for attempt in known.values():
        if attempt.is_complete and attempt.ended is not None:
            durations_s.append(attempt.ended.at - attempt.started.at)
    if not n_running or not durations_s:
        return None
    # Per busy slot: when the last trials run, the others stand idle.
    return n_running / max(statistics.median(durations_s), _SHORTEST_S) * 3600


def _left(plan: StudyPlan, known: Attempts, *, n_trials: int) -> Left | None:
    # Of all attempts, also of earlier calls: how long each kind of trial takes is known from them.
    clock = StudyClock(recipes_by_id(plan.trials), n_trials)
    for attempt in known.values():
        clock.hear_all(attempt.events)
    return clock.left(time.time())


def _slots(running: Iterable[Attempt], names: Mapping[str, str]) -> tuple[SlotStatus, ...]:
    slots = []
    for attempt in sorted(running, key=lambda attempt: attempt.started.slot):
        slots.append(_slot(attempt, names))
    return tuple(slots)


def _slot(attempt: Attempt, names: Mapping[str, str]) -> SlotStatus:
    started = attempt.started
    n_epochs_done = 0
    n_epochs: int | None = None
    if attempt.epochs:
        # By the epoch's own number: a line of the journal may be lost.
        n_epochs_done = attempt.epochs[-1].epoch + 1
        n_epochs = attempt.epochs[-1].n_epochs
    return SlotStatus(
        slot=started.slot,
        trial=names[started.trial_id],
        attempt=started.attempt,
        n_epochs_done=n_epochs_done,
        n_epochs=n_epochs,
        for_s=time.time() - started.at,
    )


def _failures(
    last: Mapping[str, Attempt], names: Mapping[str, str], folder: StudyFolder
) -> tuple[FailureStatus, ...]:
    failures = []
    for trial_id, attempt in last.items():
        ended = attempt.ended
        if ended is not None and ended.state is TrialState.FAILED:
            line = ""
            if ended.failure is not None:
                line = failure_line(ended.failure)
            path = str(folder.failure(trial_id, ended.attempt))
            failures.append(FailureStatus(names[trial_id], ended.attempt, line, path))
    return tuple(failures)


def _repeats(known: Attempts) -> dict[str, int]:
    """What ended attempts that were followed by another one of their trial -> how often.

    The most frequent first.
    """
    reasons: Counter[str] = Counter()
    for trial_id, number in known:
        # Attempts are numbered from 1: a first one has none before it.
        before = known.get((trial_id, number - 1))
        if before is not None and before.ended is not None:
            reasons[_reason(before.ended)] += 1
    return dict(reasons.most_common())


def _reason(ended: TrialEnded) -> str:
    if ended.state is TrialState.FAILED and ended.failure is not None:
        return ended.failure.kind
    return ended.state.value


def _n_not_in_optuna(path: Path, known: Attempts) -> int | None:
    ended = set()
    for key, attempt in known.items():
        if attempt.ended is not None:
            ended.add(key)
    return n_missing(path, ended)
