"""The conductor: the one process that owns a study. It hands trials to an executor, keeps the journal, and tells Optuna and MLflow what the journal says.

The order is always the same: journal, then everybody else. So whatever dies, the journal knows what happened, and the next call takes it up from there:
complete trials are not run again, trials that were running or failed get another attempt, and what the projections missed is told again.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ablate.errors import CheckFailed, StoreError
from ablate.scheduling.executors._base import Executor
from ablate.scheduling.lease import lease
from ablate.scheduling.optuna_study import OptunaStudy, default_url
from ablate.scheduling.summary import FailedTrial, StudySummary
from ablate.spec.request import TrialRequest
from ablate.spec.study import StudyRecord
from ablate.spec.trial import Trial
from ablate.tracking.artifacts import write_text
from ablate.tracking.events import EpochEnded, Event, Failure, TrialEnded, TrialStarted, TrialState
from ablate.tracking.journal import Journal, attempts
from ablate.tracking.projection import failure_text
from ablate.tracking.publisher import PATIENCE_S, STUDY, Publisher, Store, Unpublished, attempt_key

MakeRequest = Callable[[Trial, int, Path], TrialRequest]
"""(trial, attempt, the attempt's empty folder) -> what the executor is handed."""
JOURNAL = "journal.jsonl"
_INTERRUPTED_PATIENCE_S = 5.0


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
) -> StudySummary:
    """Bring every trial to its end, in the order given, and return what this call achieved.

    `folder` keeps the study: `journal.jsonl`, `optuna.db`, `trials/<trial_id>-<attempt>/` (what an attempt leaves), `failures/<trial_id>-<attempt>.txt`
    (full tracebacks). `tags` go on every run in MLflow. `on_event` hears each event after it is in the journal.
    Raises StoreError when the folder or Optuna's storage cannot be used, or another process owns the study. On KeyboardInterrupt running trials are
    recorded as KILLED, and it is raised again; so it is for whatever else `on_event` or the executor raises.
    """
    with lease(folder):
        conductor = _Conductor(record, trials, folder=folder, make_request=make_request, listener=on_event)
        conductor.settle_the_past(optuna_url or default_url(folder))
        publisher = conductor.start_publisher(store, tags or {})
        status = "KILLED"
        try:
            executor.run(conductor.take, conductor.on_event)
            status = "FAILED" if conductor.failures else "FINISHED"
        except BaseException:
            with _undisturbed():
                conductor.kill_running()
            raise
        finally:
            with _undisturbed():
                unpublished = _close(publisher, store, status=status)
        return conductor.summary(unpublished)


class _Conductor:
    """The state of one call: what is known of every trial, what is left to do, and who is to be told."""

    def __init__(self, record: StudyRecord, trials: Sequence[Trial], *, folder: Path, make_request: MakeRequest, listener: Callable[[Event], None]) -> None:
        self._record, self._folder, self._make_request, self._listener = record, folder, make_request, listener
        self._trials = {trial.trial_id: trial for trial in trials}
        if len(self._trials) != len(trials):
            raise CheckFailed(f"the trials of a study must differ, got {len(trials)} of which {len(self._trials)} differ.")
        self._arms = {arm.arm_id: arm.name for arm in record.arms}
        self._journal = Journal(folder / JOURNAL)
        self._past = attempts(self._journal.read())
        self._n_attempts: dict[str, int] = {}
        for trial_id, attempt in self._past:
            self._n_attempts[trial_id] = max(attempt, self._n_attempts.get(trial_id, 0))
        done = {trial_id for (trial_id, _), attempt in self._past.items() if attempt.is_complete}
        self._left = deque(trial for trial in trials if trial.trial_id not in done)
        self._n_reused, self._n_complete = len(trials) - len(self._left), 0
        self.failures: list[FailedTrial] = []
        self._optuna: OptunaStudy | None = None
        self._optuna_problem = ""
        self._publish: Callable[[Event], object] = bool  # nobody is told

    def settle_the_past(self, optuna_url: str) -> None:
        """Give an end to the trials that a dead conductor left running, here and in Optuna."""
        for attempt in self._past.values():
            if attempt.is_running:
                attempt.ended = _killed(attempt.started.trial_id, attempt.started.attempt, why="its conductor died")
                self._journal.append(attempt.ended)
        self._optuna = OptunaStudy(self._record, url=optuna_url)
        self._tell_optuna(lambda study: study.reconcile(self._trials, self._past))

    def start_publisher(self, store: Store | None, tags: Mapping[str, str]) -> Publisher | None:
        """Begin to tell MLflow: first the past, of which it skips what it has, then what comes."""
        if store is None:
            return None
        publisher = Publisher(partial(store.start_study, self._record, tags), is_up=partial(_is_up, store))

        def publish(event: Event) -> None:
            if event.trial_id in self._trials:  # a grid that was edited: its former trials were published then
                act = partial(store.publish, event, trial=self._trials[event.trial_id], folder=self._attempt_folder(event.trial_id, event.attempt))
                publisher.send(attempt_key(event.trial_id, event.attempt), act)

        for attempt in self._past.values():
            for event in attempt.events:
                publish(event)
        publisher.send(STUDY, store.close_stale)
        self._publish = publish
        return publisher

    def take(self, slot: str) -> TrialRequest | None:  # noqa: ARG002
        """The next request: the next trial that is not complete, once a call."""
        if not self._left:
            return None
        trial = self._left.popleft()
        attempt = self._n_attempts.get(trial.trial_id, 0) + 1
        self._n_attempts[trial.trial_id] = attempt
        folder = self._attempt_folder(trial.trial_id, attempt)
        shutil.rmtree(folder, ignore_errors=True)  # a conductor died between making it and its first line in the journal
        folder.mkdir(parents=True)
        return self._make_request(trial, attempt, folder)

    def on_event(self, event: Event) -> None:
        """Journal first; then what follows from it; then those who only listen."""
        self._journal.append(event)
        match event:
            case TrialStarted():
                self._tell_optuna(lambda study: study.ask(self._trials[event.trial_id], event.attempt))
            case TrialEnded():
                self._on_end(event)
            case EpochEnded():
                pass
        self._publish(event)
        self._listener(event)

    def _on_end(self, event: TrialEnded) -> None:
        self._n_complete += event.state is TrialState.COMPLETE
        if event.state is TrialState.FAILED and event.failure is not None:
            self.failures.append(self._failed(event, event.failure))
        self._tell_optuna(partial(_tell, event))

    def _failed(self, event: TrialEnded, failure: Failure) -> FailedTrial:
        trial = self._trials[event.trial_id]
        path = self._folder / "failures" / f"{attempt_key(event.trial_id, event.attempt)}.txt"
        write_text(path, failure_text(failure))
        return FailedTrial(event.trial_id, arm=self._arms[trial.arm_id], seed=trial.seed, attempt=event.attempt, failure=failure, path=path)

    def kill_running(self) -> None:
        """Give the trials that run now their end. The journal says which: an interruption can come between a line in it and anything else."""
        for (trial_id, number), attempt in attempts(self._journal.read()).items():
            if attempt.is_running:
                ended = _killed(trial_id, number, why="the conductor was interrupted")
                self._journal.append(ended)
                self._publish(ended)
                self._tell_optuna(partial(_tell, ended))

    def _tell_optuna(self, act: Callable[[OptunaStudy], None]) -> None:
        """Optuna is a projection too: when its storage fails in the middle, the study goes on without it and the next call catches it up."""
        if self._optuna is None or self._optuna_problem:
            return
        try:
            act(self._optuna)
        except CheckFailed:
            raise
        except Exception as error:
            self._optuna_problem = f"{type(error).__name__}: {error}".partition("\n")[0]

    def summary(self, unpublished: Unpublished) -> StudySummary:
        """What this call achieved."""
        return StudySummary(
            n_complete=self._n_complete,
            n_reused=self._n_reused,
            n_failed=len(self.failures),
            failures=tuple(self.failures),
            unpublished=unpublished,
            optuna_problem=self._optuna_problem,
        )

    def _attempt_folder(self, trial_id: str, attempt: int) -> Path:
        return self._folder / "trials" / attempt_key(trial_id, attempt)


def _tell(ended: TrialEnded, study: OptunaStudy) -> None:
    study.tell(ended)


def _killed(trial_id: str, attempt: int, *, why: str) -> TrialEnded:
    return TrialEnded(trial_id, attempt, TrialState.KILLED, at=time.time(), failure=Failure("Killed", why, traceback=""))


def _close(publisher: Publisher | None, store: Store | None, *, status: str) -> Unpublished:
    if publisher is None or store is None:
        return Unpublished(n_attempts=0, why="")
    publisher.send(STUDY, partial(store.finish_study, status))
    return publisher.close(patience_s=_INTERRUPTED_PATIENCE_S if status == "KILLED" else PATIENCE_S)


def _is_up(store: Store) -> bool:
    try:
        store.check_reachable()
    except StoreError:
        return False
    return True


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second SIGINT must not interrupt the putting away. Only the main thread gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
