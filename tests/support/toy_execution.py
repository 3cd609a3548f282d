"""Executors of toy trials, their requests and orders, and a look at the processes behind them."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import Any

from ablate.scheduling.executors.fork_server import ForkServer
from ablate.scheduling.executors.inline import InlineExecutor
from ablate.scheduling.executors.local import LocalExecutor
from ablate.scheduling.executors.slots import cpu_slots, thread_environment
from ablate.study.request import Compute, TrialRequest
from ablate.study.trial import Trial
from ablate.tracking.events import Event, Failure, TrialEnded, TrialOutcome
from ablate.tracking.journal import Attempt, attempts

RUN = "support.toy_trials:run"
BYSTANDERS: set[int] = set()
"""Children of this process that are no workers: a cluster that lives through many tests."""
SERVERS: list[ForkServer] = []
"""The one that forks the workers of many tests, once a test has asked for it."""


def inline(folder: Path) -> InlineExecutor:
    return InlineExecutor(RUN)


def one_worker(folder: Path, **limits: Any) -> LocalExecutor:
    slots = cpu_slots(1, threads=1)
    return LocalExecutor(RUN, slots=slots, log_folder=folder / "workers", **limits)


def two_workers(folder: Path) -> LocalExecutor:
    return LocalExecutor(RUN, slots=cpu_slots(2, threads=1), log_folder=folder / "workers")


def one_forked(folder: Path, **limits: Any) -> LocalExecutor:
    return _forked(folder, 1, **limits)


def two_forked(folder: Path) -> LocalExecutor:
    return _forked(folder, 2)


def _forked(folder: Path, n_slots: int, **limits: Any) -> LocalExecutor:
    slots = cpu_slots(n_slots, threads=1)
    return LocalExecutor(
        RUN, slots=slots, log_folder=folder / "workers", fork_server=toy_server(), **limits
    )


def toy_server() -> ForkServer:
    """A server that has imported toy trials; `close_servers` ends it."""
    if not SERVERS:
        SERVERS.append(ForkServer(["support.toy_trials"], environment=thread_environment(1)))
    return SERVERS[0]


def close_servers() -> None:
    while SERVERS:
        SERVERS.pop().close()


def request_of(trial: Trial, folder: Path, *, attempt: int = 1) -> TrialRequest:
    attempt_folder = folder / f"{trial.trial_id}-{attempt}"
    attempt_folder.mkdir(parents=True)
    compute = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
    return TrialRequest(
        trial=trial,
        attempt=attempt,
        n_classes=3,
        store_path=folder / "images",
        folder=attempt_folder,
        compute=compute,
    )


def order(folder: Path, trial: Trial, what: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{trial.trial_id}.do").write_text(what)


def children() -> set[int]:
    """Workers of this process, spawned or forked."""
    servers = {server.process_id for server in SERVERS}
    workers = children_of(os.getpid()) - BYSTANDERS - servers
    for server in servers:
        workers |= children_of(server)
    return workers


def children_of(pid: int) -> set[int]:
    try:
        return {
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        }
    except (FileNotFoundError, ProcessLookupError):
        return set()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def run_all(executor, trials: list[Trial], folder: Path, on_event=None) -> list[Event]:
    heard: list[Event] = []
    left = [request_of(trial, folder) for trial in trials]

    def hear(event: Event) -> bool | None:
        assert threading.current_thread() is threading.main_thread()
        heard.append(event)
        return on_event(event) if on_event else None

    executor.run(lambda slot: left.pop(0) if left else None, hear)
    return heard


def only(events: list[Event], trial: Trial) -> Attempt:
    return attempts(events)[(trial.trial_id, 1)]


def end_of(attempt: Attempt) -> TrialEnded:
    """The end of an attempt that has one."""
    assert attempt.ended is not None
    return attempt.ended


def failure_of(attempt: Attempt) -> Failure:
    """Why an attempt failed, of one that did."""
    failure = end_of(attempt).failure
    assert failure is not None
    return failure


def outcome_of(event: TrialEnded) -> TrialOutcome:
    """What a completed trial found."""
    assert event.outcome is not None
    return event.outcome


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a process prints; waits for it."""
    assert process.stdout is not None
    return process.stdout.readline()
