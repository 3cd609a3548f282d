"""The study in Optuna: one finished Optuna trial an attempt that has ended, for its dashboard and
its importances. It never enumerates the grid.

Measured (Optuna 5): its GridSampler and BruteForceSampler lose the points of workers that die and
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
from ablate.study.record import StudyRecord
from ablate.study.trial import Trial, is_better
from ablate.tracking import events
from ablate.tracking.connectivity import sqlite_url
from ablate.tracking.passwords import hide_passwords, without_password

optuna.logging.set_verbosity(optuna.logging.ERROR)
_LOG = logging.getLogger(__name__)

_STATES = {
    events.TrialState.COMPLETE: TrialState.COMPLETE,
    events.TrialState.PRUNED: TrialState.PRUNED,
    events.TrialState.FAILED: TrialState.FAIL,
    events.TrialState.KILLED: TrialState.FAIL,
}


Described = tuple[dict[str, Any], dict[str, BaseDistribution]]
"""A trial's parameters, and what each of them was chosen from."""


class OptunaStudy:
    """A projection of the journal into Optuna's storage.

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

        Raises StoreError when the storage cannot be used. `describe` says a trial's parameters;
        without it they are the levels of its arm in `record`. `objectives` are the scores of a
        trial, by default `select_by` alone.
        """
        self._objectives = tuple(objectives) or (record.select_by,)
        self._record, self._trials, self._describe = record, trials, describe or self._levels
        self._space: dict[str, BaseDistribution] = {
            axis: CategoricalDistribution([_choice(level) for level in levels])
            for axis, levels in record.axes.items()
            if levels
        }
        self._cells = {arm.arm_id: arm for arm in record.arms}
        try:
            self._study = optuna.create_study(
                study_name=_study_name(record),
                storage=_storage(url),
                directions=[direction_of(name) for name in self._objectives],
                load_if_exists=True,
            )
        except Exception as error:
            raise StoreError(
                f"Optuna's storage must be usable, {without_password(url)!r} is not: "
                f"{type(error).__name__}: {hide_passwords(str(error))}".partition("\n")[0]
            ) from error
        self._told: set[tuple[str, int]] = set()

    def is_up(self) -> bool:
        """See `Follower`."""
        self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return True

    def check_readable(self) -> None:
        """Raises StoreError where the storage holds what nobody can read."""
        try:
            for found in self._study.get_trials(deepcopy=False):
                hash(_told_as(found))
        except Exception as error:
            raise StoreError(f"{type(error).__name__}: {error}".partition("\n")[0]) from error

    def begin(self) -> None:
        """See `Follower`: note what the storage has, and give an end to what a former version or
        a dead search left running.
        """
        for found in self._study.get_trials(deepcopy=False):
            if not found.state.is_finished():
                self._study.tell(found.number, state=TrialState.FAIL)
            self._told.add(_told_as(found))

    def tell(self, event: events.Event) -> None:
        """See `Follower`: an attempt that has ended becomes a finished trial in one transaction,
        so that nothing is ever left running.
        """
        key = (event.trial_id, event.attempt)
        if isinstance(event, events.TrialEnded) and key not in self._told:
            self._study.add_trial(self._frozen(event))
            self._told.add(key)

    def settle(self) -> None:
        """See `Follower`."""

    def finish(self, status: str) -> None:
        """See `Follower`."""

    def _frozen(self, ended: events.TrialEnded) -> FrozenTrial:
        trial = self._trials[ended.trial_id]
        params, distributions = self._describe(trial)
        state = _STATES[ended.state]
        scores = ended.outcome.metrics if ended.outcome is not None else {}
        values = [scores.get(name, math.nan) for name in self._objectives]
        if state is TrialState.COMPLETE and not all(map(math.isfinite, values)):
            state = TrialState.FAIL  # Optuna has no complete trial without a number
        return optuna.trial.create_trial(
            state=state,
            values=values if state is TrialState.COMPLETE else None,
            params=params,
            distributions=distributions,
            user_attrs={
                "trial_id": trial.trial_id,
                "attempt": ended.attempt,
                "seed": trial.seed,
                "arm": self._name(trial),
            },
        )

    def _levels(self, trial: Trial) -> Described:
        if trial.arm_id not in self._cells:
            raise CheckFailed(
                "every trial must belong to an arm of its study, "
                f"{trial.trial_id} with arm {trial.arm_id} does not."
            )
        return {
            axis: _choice(level) for axis, level in self._cells[trial.arm_id].cells[0].items()
        }, self._space

    def _name(self, trial: Trial) -> str:
        return self._cells[trial.arm_id].name if trial.arm_id in self._cells else trial.arm_id

    @property
    def trials(self) -> list[FrozenTrial]:
        """What the storage holds."""
        return self._study.get_trials(deepcopy=False)


def own_study(
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
    try:
        if not _is_sound(folder / OPTUNA_FILE):
            raise StoreError("SQLite finds it damaged")
        study = OptunaStudy(
            record, trials, url=default_url(folder), describe=describe, objectives=objectives
        )
        study.check_readable()
        return study
    except StoreError as error:
        _LOG.warning(
            "Optuna's file %s is made again from the journal: %s", folder / OPTUNA_FILE, error
        )
        for path in folder.glob(f"{OPTUNA_FILE}*"):  # with its -wal and -shm
            with contextlib.suppress(OSError):
                _take_away(path)
        return OptunaStudy(
            record, trials, url=default_url(folder), describe=describe, objectives=objectives
        )


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


def _storage(url: str) -> optuna.storages.RDBStorage:
    """SQLite writes ahead and syncs less: a crash of the machine may lose its last trials, and the
    journal brings them back.
    """
    storage = optuna.storages.RDBStorage(
        url, engine_kwargs={"connect_args": {"timeout": 20}} if url.startswith("sqlite") else None
    )
    if url.startswith("sqlite"):
        from sqlalchemy import event

        @event.listens_for(storage.engine, "connect")
        def _quicken(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

        storage.engine.dispose()
    return storage


def _study_name(record: StudyRecord) -> str:
    """Optuna's categorical parameters cannot get new choices, so a grid with edited axes is a new
    Optuna study.
    """
    axes = json.dumps(
        {axis: [_choice(level) for level in levels] for axis, levels in record.axes.items()},
        sort_keys=True,
    )
    return f"{record.grid_name}-{record.study_id}-{hashlib.sha256(f'{record.select_by} {axes}'.encode()).hexdigest()[:6]}"


def _told_as(found: FrozenTrial) -> tuple[str, int]:
    """(trial_id, attempt) that an Optuna trial stands for."""
    return found.user_attrs.get("trial_id", ""), found.user_attrs.get("attempt", 0)


def _choice(level: Any) -> CategoricalChoiceType:
    return (
        level if level is None or isinstance(level, bool | int | float | str) else json.dumps(level)
    )


def direction_of(select_by: str) -> Literal["maximize", "minimize"]:
    """What Optuna calls a metric's better side."""
    return "maximize" if is_better(select_by, 1.0, 0.0) else "minimize"
