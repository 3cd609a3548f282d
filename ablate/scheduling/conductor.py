"""The conductor: the one process that owns a study.

It hands trials to an executor and keeps the journal, which Optuna and MLflow follow. The order is
always the same: the journal first, then everybody else. So whatever dies, the journal knows what
happened, and the next call resumes from there: complete trials are not run again, trials that were
running or failed get another attempt, and the followers receive what they missed.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Mapping

from ablate.errors import StoreError, StudyStopped, some
from ablate.files import write_text
from ablate.scheduling.catch_up import end_running
from ablate.scheduling.interrupts import ignoring_signals, interruptible, uninterrupted
from ablate.scheduling.lease import lease
from ablate.scheduling.limits import RETRIED
from ablate.scheduling.mlflow_follower import MlflowFollower
from ablate.scheduling.optuna_study import OptunaStudy, study_in_folder
from ablate.scheduling.queue import Queue, TrialQueue, distinct
from ablate.scheduling.session import Session
from ablate.scheduling.study_folder import StudyFolder, StudyPlan
from ablate.scheduling.summary import FailedTrial, StudySummary
from ablate.scheduling.work_units import UnitOf, alone
from ablate.study.arm_record import arms_by_id
from ablate.study.request import TrialRequest
from ablate.tracking.events import EpochEnded, Event, Failure, TrialEnded, TrialStarted, TrialState
from ablate.tracking.journal import attempts
from ablate.tracking.mlflow_fields import failure_text
from ablate.tracking.publisher import PATIENCE_S, Follower, Publisher, Unpublished

_INTERRUPTED_PATIENCE_S = 5.0
_LOG = logging.getLogger(__name__)
_NOTHING_MISSING = Unpublished(n_attempts=0, why="")


def run_study(plan: StudyPlan, session: Session, *, unit_of: UnitOf = alone) -> StudySummary:
    """Bring every trial of the plan to its end and return what this call achieved.

    Trials run in the order of `WorkUnits` and within `session.limits`. The session's folder keeps
    the study: `journal.jsonl`, `study.json`, `optuna.db`, `trials/<trial_id>-<attempt>/` (what an
    attempt leaves), `checkpoints/<trial_id>/` (the last whole epoch of a trial that has not ended),
    `failures/<trial_id>-<attempt>.txt` (full tracebacks).

    Raises StoreError when the folder or Optuna's storage cannot be used, or another process owns
    the study; StudyStopped where that is so once a trial has begun. On KeyboardInterrupt or SIGTERM
    running trials are recorded as KILLED, and KeyboardInterrupt is raised; so it is for whatever
    else `session.on_event` or the executor raises.
    """
    with interruptible(), lease(session.folder):
        conductor = Conductor(plan, session)
        queue = Queue(plan.trials, conductor.past, limits=session.limits, unit_of=unit_of)
        with uninterrupted():
            optuna = _optuna(plan, conductor, session)
        return conductor.conduct(queue, optuna)


def _optuna(plan: StudyPlan, conductor: Conductor, session: Session) -> OptunaStudy:
    if session.optuna_url:
        return OptunaStudy(plan.record, conductor.trials, url=session.optuna_url)
    return study_in_folder(session.folder, plan.record, conductor.trials)


class Conductor:
    """The state of one call.

    To make one is to take the study up, so its maker must hold the lease: trials that a dead
    conductor left running are ended.
    """

    def __init__(self, plan: StudyPlan, session: Session, *, needs_scores: bool = False) -> None:
        """`needs_scores`: whether whoever reads `past` wants to know what trials reached."""
        self.plan = plan
        """What the study is; a search adds to it."""
        self.trials = distinct(plan.trials)
        """By trial_id."""
        self._session = session
        self._folder = StudyFolder(session.folder)
        self._journal = self._folder.journal
        # In this order: what is damaged would be read as trials that never ran, and what runs still
        # by the journal has nobody left who could end it.
        self._damage = self._journal.mend()
        end_running(self._folder, why="its conductor died")
        reading = self._journal.reading() if needs_scores else self._journal.skim()
        self.past = attempts(reading.events)
        """What earlier calls did."""
        self._damage = self._damage or self._lost()
        self._has_begun = False
        self._n_complete = 0
        self._n_pruned = 0
        self._retried: Counter[str] = Counter()
        self._failures: dict[str, FailedTrial] = {}
        self._wake: tuple[Callable[[], None], ...] = ()
        # Last: a study that cannot be taken up keeps the plan that it had.
        self._folder.keep_former_tags(plan.tags)
        self._folder.write_plan(plan)

    def _lost(self) -> str:
        """What the folder shows of lines that the journal lost, in a sentence, or nothing."""
        strays = self._folder.strays(self.past)
        if not strays:
            return ""
        lost = (
            f"the journal {self._journal.path} says nothing of {some(strays, most=3)}, which left "
            "files beside it: lines of it are lost, and a trial of which it knows no end runs again"
        )
        _LOG.warning("%s", lost)
        return lost

    def conduct(self, queue: TrialQueue, optuna: Follower) -> StudySummary:
        """Run what the queue gives until it has nothing; close what was begun, whatever happens."""
        self._queue = queue
        self.past = {}  # thousands of epochs, which nobody needs any more
        with uninterrupted():
            publishers = self._start_publishers(optuna)
        status = "KILLED"  # so it is for whatever leaves the block early
        try:
            self._session.executor.run(self.take, self.on_event)
            status = "FAILED" if self._failures else "FINISHED"
        except BaseException as error:
            # A journal that cannot be written now is settled by the next call.
            with ignoring_signals(), contextlib.suppress(StoreError):
                end_running(self._folder, why="the conductor was interrupted")
            if isinstance(error, OSError) or (isinstance(error, StoreError) and self._has_begun):
                raise StudyStopped(_stopped(error)) from error
            raise
        finally:
            with ignoring_signals():
                patience_s = _INTERRUPTED_PATIENCE_S if status == "KILLED" else PATIENCE_S
                missing: dict[str, Unpublished] = {}
                for name, publisher in publishers.items():
                    missing[name] = publisher.close(status, patience_s=patience_s)
        return self._summary(missing)

    def _start_publishers(self, optuna: Follower) -> dict[str, Publisher]:
        """Begin to publish: first the past, of which each follower skips what it has."""
        followers: dict[str, Follower] = {"optuna": optuna}
        if self._session.store is not None:
            followers["mlflow"] = MlflowFollower(
                self._session.store, lambda: self.plan, trials=self.trials, folder=self._folder
            )
        # A thread and a place in the journal for each: a dead MLflow server holds up no Optuna.
        publishers: dict[str, Publisher] = {}
        for name, follower in followers.items():
            publishers[name] = Publisher(self._journal, follower, trial_ids=self.trials)
        self._wake = tuple(publisher.wake for publisher in publishers.values())
        return publishers

    def take(self, slot: str) -> TrialRequest | None:  # noqa: ARG002
        """The next request, or None while nothing may start."""
        with uninterrupted():
            return self._take()

    def _take(self) -> TrialRequest | None:
        taken = self._queue.take()
        if taken is None:
            return None
        trial, attempt = taken
        # A search's proposal. The plan goes first: an event of a trial that no plan names would be
        # passed over by whoever reads the study later.
        if trial.trial_id not in self.trials:
            self.trials[trial.trial_id] = trial
            self.plan = self.plan.with_trial(trial)
            self._folder.write_plan(self.plan)
        folder = self._folder.attempt(trial.trial_id, attempt)
        # It is there where a conductor died between making it and its first line in the journal.
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise StoreError(
                f"the study's folder must be writable, {folder} cannot be made: {error}; "
                "free space, the same command goes on."
            ) from error
        return self._session.request(trial, attempt, folder)

    def on_event(self, event: Event) -> bool:
        """Journal first; then what follows from it; then those who only listen.

        True asks a trial to end here.
        """
        with uninterrupted():
            return self._note(event)

    def _note(self, event: Event) -> bool:
        self._journal.append(event)
        self._has_begun = True
        for wake in self._wake:
            wake()
        is_hopeless = False
        match event:
            case TrialStarted():
                self._queue.started(event)
            case TrialEnded():
                self._on_end(event)
            case EpochEnded():
                is_hopeless = self._queue.is_hopeless(event)
        self._session.on_event(event)
        return is_hopeless

    def _on_end(self, event: TrialEnded) -> None:
        self._failures.pop(event.trial_id, None)  # of an earlier attempt in this call
        self._n_complete += event.state is TrialState.COMPLETE
        self._n_pruned += event.state is TrialState.PRUNED
        # A retry goes on from the last whole epoch; a trial's own error comes again from there.
        # Trials that are interrupted keep theirs, because `end_running` does not come by here.
        if event.failure is None or event.failure.kind not in RETRIED:
            shutil.rmtree(self._folder.checkpoint(event.trial_id), ignore_errors=True)
        is_retried = self._queue.ended(event, self.trials[event.trial_id])
        if is_retried and event.failure is not None:
            self._retried[event.failure.kind] += 1
        if event.state is TrialState.FAILED and event.failure is not None:
            failed = self._failed(event, event.failure)
            if not is_retried:
                self._failures[event.trial_id] = failed

    def _failed(self, event: TrialEnded, failure: Failure) -> FailedTrial:
        trial = self.trials[event.trial_id]
        path = self._folder.failure(event.trial_id, event.attempt)
        with contextlib.suppress(OSError):  # a full disk: the journal has it
            write_text(path, failure_text(failure))
        arm = arms_by_id(self.plan.record.all_arms)[trial.arm_id].name
        return FailedTrial(
            event.trial_id,
            arm=arm,
            seed=trial.seed,
            attempt=event.attempt,
            failure=failure,
            path=path,
        )

    def _summary(self, missing: Mapping[str, Unpublished]) -> StudySummary:
        """What this call achieved."""
        return StudySummary(
            n_complete=self._n_complete,
            n_reused=self._queue.n_reused,
            n_pruned=self._n_pruned,
            n_failed=len(self._failures),
            n_left=self._queue.n_left,
            n_retries=self._retried.total(),
            failures=tuple(self._failures.values()),
            unpublished=missing.get("mlflow", _NOTHING_MISSING),
            optuna_problem=missing["optuna"].why,
            damage=self._damage,
            retried=dict(self._retried.most_common()),
        )


def _stopped(error: StoreError | OSError) -> str:
    """Why a study that had begun cannot go on.

    An OSError comes from the executor's own files and processes: those of a trial end the trial.
    """
    if isinstance(error, StoreError):
        return str(error)
    return (
        f"the study's workers must be able to start and to write their logs, they are not: {error}."
    )
