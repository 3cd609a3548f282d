"""The conductor: the one process that owns a study. It hands trials to an executor and keeps the journal, which Optuna and MLflow follow.

The order is always the same: journal, then everybody else. So whatever dies, the journal knows what happened, and the next call takes it up from there:
complete trials are not run again, trials that were running or failed get another attempt, and what the projections missed is told again.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ablate.errors import StoreError
from ablate.scheduling.executors._base import Executor
from ablate.scheduling.interrupts import interruptible, undisturbed
from ablate.scheduling.lease import lease
from ablate.scheduling.limits import RETRIED, Limits, Queue, distinct
from ablate.scheduling.mlflow_projection import MlflowProjection
from ablate.scheduling.optuna_study import OptunaStudy, default_url
from ablate.scheduling.study_folder import StudyFolder, StudyPlan
from ablate.scheduling.summary import FailedTrial, StudySummary
from ablate.scheduling.sync import end_running
from ablate.spec.request import CheckpointSpec, TrialRequest
from ablate.spec.study import StudyRecord
from ablate.spec.trial import Trial
from ablate.tracking.artifacts import write_text
from ablate.tracking.events import EpochEnded, Event, Failure, TrialEnded, TrialStarted, TrialState
from ablate.tracking.journal import attempts
from ablate.tracking.projection import failure_text
from ablate.tracking.publisher import PATIENCE_S, Publisher, Store, Unpublished

MakeRequest = Callable[[Trial, int, Path], TrialRequest]
"""(trial, attempt, the attempt's empty folder) -> what the executor is handed."""
CHECKPOINT_EVERY_S = 20.0
"""Work that a killed trial may lose besides the epoch that it was in. Trials that are shorter pay nothing for checkpoints."""
_INTERRUPTED_PATIENCE_S = 5.0
_NOTHING_MISSING = Unpublished(n_attempts=0, why="")


def run_study(
    *,
    record: StudyRecord,
    trials: Sequence[Trial],
    folder: Path,
    executor: Executor,
    store: Store | None,
    make_request: MakeRequest,
    on_event: Callable[[Event], None],
    tags: Mapping[str, str] | None = None,
    optuna_url: str | None = None,
    limits: Limits | None = None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> StudySummary:
    """Bring every trial to its end, in the order given and within `limits`, and return what this call achieved.

    `folder` keeps the study: `journal.jsonl`, `study.json`, `optuna.db`, `trials/<trial_id>-<attempt>/` (what an attempt leaves), `checkpoints/<trial_id>/`
    (the last whole epoch of a trial that has not ended), `failures/<trial_id>-<attempt>.txt` (full tracebacks). `tags` go on every run in MLflow.
    `on_event` hears each event after it is in the journal.
    Raises StoreError when the folder or Optuna's storage cannot be used, or another process owns the study. On KeyboardInterrupt or SIGTERM running trials
    are recorded as KILLED, and KeyboardInterrupt is raised; so it is for whatever else `on_event` or the executor raises.
    """
    plan = StudyPlan(record, tuple(trials), tags or {})
    with interruptible(), lease(folder):
        conductor = _Conductor(plan, StudyFolder(folder), make_request=_keeping(make_request, folder, checkpoint_every_s), listener=on_event, limits=limits)
        followers = conductor.start_followers(store, optuna_url or default_url(folder))
        status = "KILLED"
        try:
            executor.run(conductor.take, conductor.on_event)
            status = "FAILED" if conductor.failures else "FINISHED"
        except BaseException:
            with undisturbed(), contextlib.suppress(StoreError):  # a journal that cannot be written now is settled by the next call
                end_running(StudyFolder(folder), why="the conductor was interrupted")
            raise
        finally:
            with undisturbed():
                patience_s = _INTERRUPTED_PATIENCE_S if status == "KILLED" else PATIENCE_S
                missing = {name: follower.close(status, patience_s=patience_s) for name, follower in followers.items()}
        return conductor.summary(missing)


class _Conductor:
    """The state of one call: what is left to do, and who follows. To make one is to take the study up: trials that a dead conductor left running are ended."""

    def __init__(self, plan: StudyPlan, folder: StudyFolder, *, make_request: MakeRequest, listener: Callable[[Event], None], limits: Limits | None) -> None:
        self._plan, self._folder, self._make_request, self._listener = plan, folder, make_request, listener
        self._trials = distinct(plan.trials)
        self._arms = {arm.arm_id: arm.name for arm in plan.record.arms}
        self._journal = folder.journal
        end_running(folder, why="its conductor died")
        past = attempts(self._journal.read())
        self._queue = Queue(plan.trials, past, limits=limits or Limits())
        self._n_complete, self._n_retries = 0, 0
        self.failures: dict[str, FailedTrial] = {}
        self._wake: tuple[Callable[[], None], ...] = ()
        folder.write_plan(plan)

    def start_followers(self, store: Store | None, optuna_url: str) -> dict[str, Publisher]:
        """Begin to tell Optuna and MLflow: first the past, of which they skip what they have, then what comes."""
        projections = {"optuna": OptunaStudy(self._plan.record, self._trials, url=optuna_url)} | (
            {} if store is None else {"mlflow": MlflowProjection(store, self._plan, trials=self._trials, folder=self._folder)}
        )
        followers = {name: Publisher(self._journal, projection, trial_ids=self._trials) for name, projection in projections.items()}
        self._wake = tuple(follower.wake for follower in followers.values())
        return followers

    def take(self, slot: str) -> TrialRequest | None:  # noqa: ARG002
        """The next request, or None while nothing may start."""
        taken = self._queue.take()
        if taken is None:
            return None
        trial, attempt = taken
        folder = self._folder.attempt(trial.trial_id, attempt)
        shutil.rmtree(folder, ignore_errors=True)  # a conductor died between making it and its first line in the journal
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise StoreError(f"the study's folder must be writable, {folder} cannot be made: {error}; free space, the same command goes on.") from error
        return self._make_request(trial, attempt, folder)

    def on_event(self, event: Event) -> None:
        """Journal first; then what follows from it; then those who only listen."""
        self._journal.append(event)
        for wake in self._wake:
            wake()
        match event:
            case TrialStarted():
                self._queue.started(event)
            case TrialEnded():
                self._on_end(event)
            case EpochEnded():
                pass
        self._listener(event)

    def _on_end(self, event: TrialEnded) -> None:
        self.failures.pop(event.trial_id, None)
        self._n_complete += event.state is TrialState.COMPLETE
        if event.failure is None or event.failure.kind not in RETRIED:
            shutil.rmtree(self._folder.checkpoint(event.trial_id), ignore_errors=True)
        is_retried = self._queue.ended(event, self._trials[event.trial_id])
        self._n_retries += is_retried
        if event.state is TrialState.FAILED and event.failure is not None:
            failed = self._failed(event, event.failure)
            if not is_retried:
                self.failures[event.trial_id] = failed

    def _failed(self, event: TrialEnded, failure: Failure) -> FailedTrial:
        trial = self._trials[event.trial_id]
        path = self._folder.failure(event.trial_id, event.attempt)
        with contextlib.suppress(OSError):  # a full disk: the journal has it
            write_text(path, failure_text(failure))
        return FailedTrial(event.trial_id, arm=self._arms[trial.arm_id], seed=trial.seed, attempt=event.attempt, failure=failure, path=path)

    def summary(self, missing: Mapping[str, Unpublished]) -> StudySummary:
        """What this call achieved."""
        return StudySummary(
            n_complete=self._n_complete,
            n_reused=self._queue.n_reused,
            n_failed=len(self.failures),
            n_left=self._queue.n_left,
            n_retries=self._n_retries,
            failures=tuple(self.failures.values()),
            unpublished=missing.get("mlflow", _NOTHING_MISSING),
            optuna_problem=missing["optuna"].why,
        )


def _keeping(make_request: MakeRequest, folder: Path, every_s: float) -> MakeRequest:
    """Requests whose trials keep their last whole epoch in the study's folder."""

    def make(trial: Trial, attempt: int, attempt_folder: Path) -> TrialRequest:
        checkpoint = CheckpointSpec(folder=StudyFolder(folder).checkpoint(trial.trial_id), every_s=every_s)
        return make_request(trial, attempt, attempt_folder).model_copy(update={"checkpoint": checkpoint})

    return make
