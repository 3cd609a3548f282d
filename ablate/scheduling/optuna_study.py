"""The study in Optuna, for its dashboard and its importances.

One finished Optuna trial for each attempt that has ended. Optuna never enumerates the grid:
measured (Optuna 5), its GridSampler and BruteForceSampler lose the points of workers that die and
repeat others. Which trials there are is ablate's business.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalChoiceType, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from ablate.errors import CheckFailed, StoreError
from ablate.scheduling.study_folder import OPTUNA_FILE
from ablate.study.arm_record import arms_by_id
from ablate.study.choosing import is_better, scores_in
from ablate.study.record import StudyRecord
from ablate.study.trial import Trial
from ablate.tracking import events
from ablate.tracking.connectivity import sqlite_url
from ablate.tracking.passwords import hide_passwords, without_password

# Optuna logs a line a trial, in between our own.
optuna.logging.set_verbosity(optuna.logging.ERROR)
_LOG = logging.getLogger(__name__)

_STATES = {
    events.TrialState.COMPLETE: TrialState.COMPLETE,
    events.TrialState.PRUNED: TrialState.PRUNED,
    events.TrialState.FAILED: TrialState.FAIL,
    events.TrialState.KILLED: TrialState.FAIL,
}

AttemptKey = tuple[str, int]
"""(trial_id, attempt)."""
Described = tuple[dict[str, Any], dict[str, BaseDistribution]]
"""A trial's parameters, and what each of them was chosen from."""


class OptunaStudy:
    """A follower of the journal that writes into Optuna's storage.

    Only its owner, the conductor, writes to it.
    """

    def __init__(
        self,
        record: StudyRecord,
        trials: Mapping[str, Trial],
        *,
        url: str,
        describe: Callable[[Trial], Described] | None = None,
        objectives: Sequence[str] = (),
    ) -> None:
        """Make or open the study in the storage at `url`; `trials` by trial_id.

        Raises StoreError when the storage cannot be used. `describe` returns a trial's parameters;
        without it they are the levels of its arm in `record`. `objectives` are the scores of a
        trial, by default `select_by` alone.
        """
        self._objectives = tuple(objectives) or (record.select_by,)
        self._record = record
        self._trials = trials
        self._describe = describe or self._levels
        self._space = _space(record)
        self._arms = arms_by_id(record.arms)
        self._study, self._storage = _open(record, url, self._objectives)
        self._stored: set[AttemptKey] = set()

    def is_up(self) -> bool:
        """See `Follower`."""
        # Any query does: whether the storage answers is all that is asked.
        self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return True

    def check_readable(self) -> None:
        """Raises StoreError where the storage holds what nobody can read."""
        try:
            for stored in self._study.get_trials(deepcopy=False):
                # An attribute of another form, say a list, is found here and not at the end of a
                # trial.
                hash(_attempt_of(stored))
        except Exception as error:
            raise StoreError(f"{type(error).__name__}: {error}".partition("\n")[0]) from error

    def begin(self) -> None:
        """See `Follower`: note what the storage has.

        What a former version or a dead search left running is ended.
        """
        # No deep copies: there can be thousands, and nothing here changes one.
        for stored in self._study.get_trials(deepcopy=False):
            if not stored.state.is_finished():
                self._study.tell(stored.number, state=TrialState.FAIL)
            # So that a call that goes on tells nothing twice: `add_trial` would add a second one.
            self._stored.add(_attempt_of(stored))

    def tell(self, event: events.Event) -> None:
        """See `Follower`: an attempt that has ended becomes a finished trial in one transaction.

        So nothing is ever left running.
        """
        key = (event.trial_id, event.attempt)
        if isinstance(event, events.TrialEnded) and key not in self._stored:
            self._study.add_trial(self._frozen(event))
            self._stored.add(key)

    def rest(self) -> None:
        """Nothing: every event is written when it is told."""

    def settle(self) -> None:
        """See `Follower`."""

    def finish(self, status: str) -> None:  # noqa: ARG002
        """See `Follower`: nothing is left to write, so the server gets its connections back.

        Whoever reads `trials` afterwards opens a new one.
        """
        self._storage.engine.dispose()

    @property
    def trials(self) -> list[FrozenTrial]:
        """What the storage holds."""
        return self._study.get_trials(deepcopy=False)

    def _frozen(self, ended: events.TrialEnded) -> FrozenTrial:
        trial = self._trials[ended.trial_id]
        params, distributions = self._describe(trial)
        arm = self._arms.get(trial.arm_id)
        attributes = {
            "trial_id": trial.trial_id,
            "attempt": ended.attempt,
            "seed": trial.seed,
            "arm": trial.arm_id if arm is None else arm.name,
        }
        # None where there is nothing to learn from: it says how the trial ended, and no score.
        values = self._values(ended)
        # Optuna refuses a complete trial without values; here it is FAIL, in the journal COMPLETE.
        state = _STATES[ended.state]
        if state is TrialState.COMPLETE and values is None:
            state = TrialState.FAIL
        return optuna.trial.create_trial(
            state=state,
            values=values,
            params=params,
            distributions=distributions,
            user_attrs=attributes,
        )

    def _values(self, ended: events.TrialEnded) -> list[float] | None:
        """The scores of a completed trial; None where one is missing or not finite.

        Optuna has no complete trial without a number.
        """
        if ended.outcome is None or ended.state is not events.TrialState.COMPLETE:
            return None
        values = scores_in(ended.outcome.metrics, self._objectives)
        return values if all(map(math.isfinite, values)) else None

    def _levels(self, trial: Trial) -> Described:
        arm = self._arms.get(trial.arm_id)
        if arm is None:
            raise CheckFailed(
                "every trial must belong to an arm of its study, "
                f"{trial.trial_id} with arm {trial.arm_id} does not."
            )
        levels = {axis: _choice(level) for axis, level in arm.cells[0].items()}
        return levels, self._space


def study_in_folder(
    folder: Path,
    record: StudyRecord,
    trials: Mapping[str, Trial],
    *,
    describe: Callable[[Trial], Described] | None = None,
    objectives: Sequence[str] = (),
) -> OptunaStudy:
    """The study in the SQLite file of its own folder.

    A file that cannot be used is made again: all that is in it comes from the journal. So it is
    after a process died while Optuna made its tables (seen: two rows where Optuna expects one, and
    it never opens the file again), and where a page of the file is damaged.
    """
    path = folder / OPTUNA_FILE

    def opened() -> OptunaStudy:
        url = default_url(folder)
        return OptunaStudy(record, trials, url=url, describe=describe, objectives=objectives)

    try:
        if not _is_sound(path):
            raise StoreError("SQLite finds it damaged")
        study = opened()
        # A file that opens can still hold rows that nothing can read.
        study.check_readable()
        return study
    except StoreError as error:
        _LOG.warning("Optuna's file %s is made again from the journal: %s", path, error)
        for leftover in folder.glob(f"{OPTUNA_FILE}*"):  # with its -wal and -shm
            # Where it cannot be taken away, opening it says what is wrong.
            with contextlib.suppress(OSError):
                _take_away(leftover)
        return opened()


def _take_away(path: Path) -> None:
    """Delete a file of Optuna's; what is no file is nothing of Optuna's, and is only renamed.

    Raises OSError.
    """
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"no-{path.name}-{time.time():.0f}"))
    else:
        path.unlink()


def _is_sound(path: Path) -> bool:
    """Whether SQLite can read every page of the file, or there is none yet.

    Milliseconds: such a file has some hundred KB.
    """
    if not path.exists():
        return True
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=20)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.OperationalError as error:
        return "locked" in str(error)  # somebody reads or writes it: no damage
    except (sqlite3.Error, ValueError):
        return False


def default_url(folder: Path) -> str:
    """Return the URL of the SQLite file in a study's folder, whatever characters its path has."""
    return sqlite_url(folder / OPTUNA_FILE)


def _open(
    record: StudyRecord, url: str, objectives: Sequence[str]
) -> tuple[optuna.Study, optuna.storages.RDBStorage]:
    try:
        storage = _storage(url)
        study = optuna.create_study(
            study_name=_study_name(record),
            storage=storage,
            directions=list(map(direction_of, objectives)),
            load_if_exists=True,
        )
    except Exception as error:  # Optuna lets through whatever SQLAlchemy and its drivers raise
        reason = f"{type(error).__name__}: {hide_passwords(str(error))}".partition("\n")[0]
        raise StoreError(
            f"Optuna's storage must be usable, {without_password(url)!r} is not: {reason}"
        ) from error
    return study, storage


def _storage(url: str) -> optuna.storages.RDBStorage:
    if not url.startswith("sqlite"):
        return optuna.storages.RDBStorage(url)
    from sqlalchemy import event

    storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 20}})

    @event.listens_for(storage.engine, "connect")
    def _quicken(connection: Any, _: Any) -> None:
        # SQLite writes ahead and syncs less: a crash of the machine may lose its last trials, and
        # the journal brings them back.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    storage.engine.dispose()  # connections that were made before the listener
    return storage


def _space(record: StudyRecord) -> dict[str, BaseDistribution]:
    """Axis -> what its levels are chosen from; axes without levels (of a search) are left out."""
    space: dict[str, BaseDistribution] = {}
    for axis, levels in record.axes.items():
        if levels:
            space[axis] = CategoricalDistribution(list(map(_choice, levels)))
    return space


def _study_name(record: StudyRecord) -> str:
    """The study's name in Optuna, which depends on the axes.

    Optuna's categorical parameters cannot get new choices, so a grid with edited axes is another
    study there.
    """
    axes: dict[str, list[CategoricalChoiceType]] = {}
    for axis, levels in record.axes.items():
        axes[axis] = list(map(_choice, levels))
    # Not Python's `hash`: every process, and every later call, must find the same study.
    text = f"{record.select_by} {json.dumps(axes, sort_keys=True)}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{record.grid_name}-{record.study_id}-{digest}"


def _attempt_of(stored: FrozenTrial) -> AttemptKey:
    """The attempt that an Optuna trial stands for."""
    return stored.user_attrs.get("trial_id", ""), stored.user_attrs.get("attempt", 0)


def _choice(level: Any) -> CategoricalChoiceType:
    """A level as Optuna takes it: lists become JSON."""
    if level is None or isinstance(level, bool | int | float | str):
        return level
    return json.dumps(level)


def direction_of(select_by: str) -> Literal["maximize", "minimize"]:
    """What Optuna calls a metric's better side."""
    return "maximize" if is_better(select_by, 1.0, 0.0) else "minimize"
