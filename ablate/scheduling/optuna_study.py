"""The study in Optuna: one Optuna trial an attempt, for its dashboard and, later, its samplers. It is asked and told, and never enumerates the grid.

Measured (Optuna 5): its GridSampler and BruteForceSampler lose the points of workers that die and repeat others. Which trials there are is ablate's business.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalChoiceType, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from ablate.errors import CheckFailed, StoreError
from ablate.spec.study import StudyRecord
from ablate.spec.trial import Trial, is_better
from ablate.tracking import events
from ablate.tracking.journal import Attempt
from ablate.tracking.reach import without_password

optuna.logging.set_verbosity(optuna.logging.ERROR)

_STATES = {
    events.TrialState.COMPLETE: TrialState.COMPLETE,
    events.TrialState.PRUNED: TrialState.PRUNED,
    events.TrialState.FAILED: TrialState.FAIL,
    events.TrialState.KILLED: TrialState.FAIL,
}


class OptunaStudy:
    """A projection of the journal into Optuna's storage. Only its owner, the conductor, writes to it."""

    def __init__(self, record: StudyRecord, *, url: str) -> None:
        """Make or open the study in the storage at `url`. Raises StoreError when the storage cannot be used."""
        self._record = record
        self._space = {axis: CategoricalDistribution([_choice(level) for level in levels]) for axis, levels in record.axes.items()}
        self._cells = {arm.arm_id: arm for arm in record.arms}
        self._sampler = _Wanted()
        try:
            self._study = optuna.create_study(
                study_name=_study_name(record), storage=_storage(url), sampler=self._sampler, direction=_direction(record.select_by), load_if_exists=True
            )
        except Exception as error:
            raise StoreError(
                f"Optuna's storage must be usable, {without_password(url)!r} is not: {type(error).__name__}: {error}".partition("\n")[0]
            ) from error
        self._numbers: dict[tuple[str, int], int] = {}

    def reconcile(self, trials: Mapping[str, Trial], attempts: Mapping[tuple[str, int], Attempt]) -> None:
        """Make the storage say what the journal says: trials left running by a dead conductor get their end, attempts that are missing are added."""
        states = {TrialState.RUNNING, TrialState.WAITING}
        ended = set()
        for found in self._study.get_trials(deepcopy=False):
            key = (found.user_attrs.get("trial_id", ""), found.user_attrs.get("attempt", 0))
            attempt = attempts.get(key)
            if found.state not in states:
                ended.add(key)
            elif key not in ended:
                self._tell(found.number, None if attempt is None else attempt.ended)
                ended.add(key)
            else:
                self._tell(found.number, None)
        for (trial_id, number), attempt in attempts.items():
            if (trial_id, number) not in ended and trial_id in trials and attempt.ended is not None:
                self.ask(trials[trial_id], number)
                self.tell(attempt.ended)

    def ask(self, trial: Trial, attempt: int) -> None:
        """Begin an attempt: a running Optuna trial with the arm's levels as its parameters."""
        if trial.arm_id not in self._cells:
            raise CheckFailed(f"every trial must belong to an arm of its study, {trial.trial_id} with arm {trial.arm_id} does not.")
        arm = self._cells[trial.arm_id]
        self._sampler.wanted = {axis: _choice(level) for axis, level in arm.cells[0].items()}
        asked = self._study.ask(dict(self._space))
        for name, value in {"trial_id": trial.trial_id, "attempt": attempt, "seed": trial.seed, "arm": arm.name}.items():
            asked.set_user_attr(name, value)
        self._numbers[(trial.trial_id, attempt)] = asked.number

    def tell(self, ended: events.TrialEnded) -> None:
        """End an attempt that was asked for: with its `select_by` when it completed, without a value otherwise."""
        number = self._numbers.pop((ended.trial_id, ended.attempt), None)
        if number is not None:  # else a crash came between the journal and Optuna, and `reconcile` adds it
            self._tell(number, ended)

    def _tell(self, number: int, ended: events.TrialEnded | None) -> None:
        state = TrialState.FAIL if ended is None else _STATES[ended.state]
        value = ended.outcome.metrics.get(self._record.select_by) if ended is not None and ended.outcome is not None else None
        if state is TrialState.COMPLETE and (value is None or not math.isfinite(value)):
            state = TrialState.FAIL  # Optuna has no complete trial without a number
        self._study.tell(number, value if state is TrialState.COMPLETE else None, state=state, skip_if_finished=True)

    @property
    def trials(self) -> list[FrozenTrial]:
        """What the storage holds."""
        return self._study.get_trials(deepcopy=False)


def default_url(folder: Path) -> str:
    """Return the URL of the SQLite file in a study's folder."""
    return f"sqlite:///{folder.absolute() / 'optuna.db'}"


class _Wanted(BaseSampler):
    """Gives each parameter the level that the conductor wants, in the same step in which the trial is made: nothing is queued that a crash could leave."""

    def __init__(self) -> None:
        self.wanted: dict[str, CategoricalChoiceType] = {}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        return {}

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:  # noqa: ARG002
        return self.wanted[param_name]


def _storage(url: str) -> optuna.storages.RDBStorage:
    """SQLite writes ahead and syncs less: a crash of the machine may lose its last trials, and the journal brings them back."""
    storage = optuna.storages.RDBStorage(url)
    if url.startswith("sqlite"):
        from sqlalchemy import event

        @event.listens_for(storage.engine, "connect")
        def _quicken(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

        storage.engine.dispose()
    return storage


def _study_name(record: StudyRecord) -> str:
    """Optuna's categorical parameters cannot get new choices, so a grid with edited axes is a new Optuna study."""
    axes = json.dumps({axis: [_choice(level) for level in levels] for axis, levels in record.axes.items()}, sort_keys=True)
    return f"{record.grid_name}-{record.study_id}-{hashlib.sha256(f'{record.select_by} {axes}'.encode()).hexdigest()[:6]}"


def _choice(level: Any) -> CategoricalChoiceType:
    return level if level is None or isinstance(level, bool | int | float | str) else json.dumps(level)


def _direction(select_by: str) -> Literal["maximize", "minimize"]:
    return "maximize" if is_better(select_by, 1.0, 0.0) else "minimize"
