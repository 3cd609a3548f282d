"""Trials in processes of this machine: one long-lived worker per slot.

A worker that dies is an event of its trial, and the next trial gets a new one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO

from ablate.errors import CheckFailed
from ablate.scheduling.executors._base import (
    TRIAL_TIMEOUT,
    WORKER_DIED,
    WORKER_SILENT,
    OnEvent,
    Patience,
    Slot,
    Take,
    failed,
    started,
)
from ablate.scheduling.executors.fork_server import ForkedProcess, ForkServer, import_path
from ablate.scheduling.executors.worker import ALIVE, PRUNE, START
from ablate.scheduling.interrupts import uninterrupted
from ablate.study.request import TrialRequest
from ablate.tracking.events import Event, Failure, TrialEnded, from_json

# How often silent workers are checked. A dead one whose children hold its pipe open would never be
# noticed otherwise.
_POLL_S = 1.0
SILENT_S = 60.0
"""A worker that sends nothing for so long is taken for dead, though it exists."""
# Time that a worker has between SIGTERM and SIGKILL.
_GRACE_S = 3.0
# Bytes of a worker's log that are searched for its last stack.
_LARGEST_STACK = 1 << 20


Process = subprocess.Popen[bytes] | ForkedProcess
"""Of a worker: an interpreter of its own, or forked from one that has imported all."""


class LocalExecutor:
    """One worker process per slot, started when the slot's first trial comes.

    A worker has its slot's environment, and neither the terminal's signals nor its output.
    """

    def __init__(
        self,
        run_trial: str,
        *,
        slots: Sequence[Slot],
        log_folder: Path,
        timeout_s: float | None = None,
        silent_s: float = SILENT_S,
        fork_server: ForkServer | None = None,
    ) -> None:
        """`run_trial` names the function that runs a trial.

        What workers print goes to `<log_folder>/<slot>.log`. A trial that takes longer than
        `timeout_s`, or whose worker sends nothing for `silent_s`, fails and its worker is replaced.
        Workers come from `fork_server` where that has the slot's environment, else each is a new
        interpreter.
        Raises CheckFailed without slots.
        """
        names = [slot.name for slot in slots]
        if not names or len(set(names)) != len(names):
            raise CheckFailed(f"a LocalExecutor must have slots of different names, got {names}.")
        self._run_trial = run_trial
        self._slots = tuple(slots)
        self._log_folder = log_folder
        self._patience = Patience(timeout_s, silent_s)
        self._fork_server = fork_server

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots, in the order in which they are filled."""
        return self._slots

    def run(self, take: Take, on_event: OnEvent) -> None:
        """See `Executor.run`."""
        workers = list(map(self._worker, self._slots))
        try:
            while True:
                _fill(workers, take, on_event)
                busy = [worker for worker in workers if worker.request is not None]
                if not busy:
                    return
                ready = wait([worker.pipe for worker in busy], timeout=_POLL_S)
                for worker in busy:
                    # The pipe of a dead worker is not ready while a child of it holds it open.
                    if worker.pipe in ready or worker.is_dead:
                        _forward(worker, on_event)
                for worker in busy:
                    hung = worker.give_up(self._patience)
                    if hung is not None:
                        on_event(hung)
        finally:
            _end_all(workers)

    def _worker(self, slot: Slot) -> _Worker:
        log_path = self._log_folder / f"{slot.name.replace(':', '-')}.log"
        return _Worker(
            slot, run_trial=self._run_trial, log_path=log_path, fork_server=self._fork_server
        )


def _fill(workers: Sequence[_Worker], take: Take, on_event: OnEvent) -> None:
    for worker in workers:
        if worker.request is not None:
            continue
        request = take(worker.slot.name)
        if request is None:
            return
        # The journal knows of a trial before its process does: whatever dies in between leaves a
        # start without an end, which the next conductor ends.
        on_event(started(request, slot=worker.slot.name))
        with uninterrupted():  # a process that nobody knows of would stay
            worker.start(request)


def _forward(worker: _Worker, on_event: OnEvent) -> None:
    for event in worker.events():
        if on_event(event):
            worker.prune()


class _Worker:
    """The conductor's end of one slot."""

    def __init__(
        self, slot: Slot, *, run_trial: str, log_path: Path, fork_server: ForkServer | None
    ) -> None:
        self.slot = slot
        self.request: TrialRequest | None = None
        """What it is running."""
        self._run_trial = run_trial
        self._log_path = log_path
        self._fork_server = fork_server
        self._process: Process | None = None
        self._pipe: Connection | None = None
        # Byte of the log where the present trial begins.
        self._log_start = 0
        self._began = 0.0
        self._last_message = 0.0

    @property
    def pipe(self) -> Connection:
        if self._pipe is None:
            raise CheckFailed(
                f"the worker of slot {self.slot.name} must be started before it is listened to."
            )
        return self._pipe

    @property
    def is_dead(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def start(self, request: TrialRequest) -> None:
        """Hand a request to the process, a new one where there is none or it died meanwhile."""
        if self.is_dead:
            self._spawn()
        self._log_start = self._log_path.stat().st_size
        self.request = request
        self._began = time.monotonic()
        self._last_message = self._began
        try:
            self.pipe.send_bytes(request.model_dump_json().encode())
        except BrokenPipeError:
            return  # it died this moment: `events` says so

    def prune(self) -> None:
        """Ask the process to end its trial after an epoch."""
        if self.request is None:
            return
        # The trial is named, because it may have ended by itself meanwhile.
        key = f"{self.request.trial.trial_id} {self.request.attempt}"
        with contextlib.suppress(BrokenPipeError):  # it died this moment: `events` says so
            self.pipe.send_bytes(PRUNE + key.encode())

    def events(self) -> Iterator[Event]:
        """What it sent since the last call; ends with the trial's failure when it died."""
        try:
            while self.request is not None and self.pipe.poll():
                message = self.pipe.recv_bytes()
                self._last_message = time.monotonic()
                if message == ALIVE:
                    continue
                event = from_json(json.loads(message))
                if isinstance(event, TrialEnded):
                    self.request = None
                yield event
            is_gone = self.is_dead
        except (EOFError, OSError):
            is_gone = True
        if not is_gone or self.request is None:
            return
        if isinstance(self._process, ForkedProcess) and self._process.is_refused:
            # It never was, so the same attempt begins for the first time.
            with uninterrupted():
                self.start(self.request)
        else:
            yield self._death(self.request)

    def give_up(self, patience: Patience) -> TrialEnded | None:
        """End a worker whose trial takes too long, or that sends nothing any more.

        Returns its trial's failure, or None where all is well.
        """
        if self.request is None:
            return None
        now = time.monotonic()
        if isinstance(self._process, ForkedProcess) and self._process.is_awaited:
            # Its heart begins to beat when it is forked.
            self._last_message = now
        why = patience.overrun(ran_s=now - self._began)
        if why:
            return self._killed(self.request, TRIAL_TIMEOUT, why)
        # A full pipe is no silence: this process was too busy to read it.
        why = patience.silence(self.slot.name, silent_s=now - self._last_message)
        if why and not self.pipe.poll():
            return self._killed(self.request, WORKER_SILENT, why)
        return None

    def end(self) -> None:
        """Hang up; the process ends by itself, in the middle of a trial too.

        Children of the trial go with it.
        """
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            _signal_group(self._process, signal.SIGTERM)

    def reap(self) -> None:
        """Wait for the process after `end`, with SIGKILL where it does not listen."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        _signal_group(self._process, signal.SIGKILL)
        self._process.wait()
        self._process = None
        self._pipe = None

    def _spawn(self) -> None:
        if self._process is not None:
            self.end()
            self.reap()
        self._pipe, theirs = Pipe()
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        # Our copy of the worker's end is closed: the pipe breaks only when nobody holds that end.
        with theirs, self._log_path.open("ab") as log:
            self._process = self._new_process(theirs.fileno(), log)

    def _new_process(self, descriptor: int, log: IO[bytes]) -> Process:
        server = self._fork_server
        environment = self.slot.environment
        if server is None or not server.fits(environment):
            return self._popen(descriptor, log)
        return server.fork(
            self._run_trial, pipe=descriptor, log=log.fileno(), environment=environment
        )

    def _popen(self, descriptor: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
        arguments = [json.dumps(import_path()), self._run_trial, str(descriptor)]
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", START, *arguments],
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.slot.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(descriptor,),
            start_new_session=True,  # SIGINT of the terminal goes to the conductor only
        )

    def _death(self, request: TrialRequest) -> TrialEnded:
        """Take the dead process away and say what it died of."""
        self.request = None
        process = self._process
        if process is not None:
            # Its own end, before anything is sent to it: the exit code says what it died of.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
        self.end()
        self.reap()
        code = 0
        if process is not None and process.returncode is not None:
            code = process.returncode
        end = _how_it_ended(code)
        return self._failed(request, WORKER_DIED, f"the worker of slot {self.slot.name} {end}")

    def _killed(self, request: TrialRequest, kind: str, why: str) -> TrialEnded:
        """Take a process away that hangs, and keep where it hung."""
        self.request = None
        if self._process is not None:
            # SIGABRT makes faulthandler print every thread's stack; a stopped process must go on
            # to hear it.
            _signal_group(self._process, signal.SIGCONT)
            self._process.send_signal(signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
        self.end()
        self.reap()
        return self._failed(request, kind, why)

    def _failed(self, request: TrialRequest, kind: str, why: str) -> TrialEnded:
        log = f"{self._log_path.parent.name}/{self._log_path.name}"
        message = f"{why}; what it printed is in {log}"
        return failed(request, Failure(kind, message, traceback=self._last_words()))

    def _last_words(self) -> str:
        """The stack that faulthandler printed for this trial, or nothing.

        A segfault leaves no other traceback.
        """
        with self._log_path.open("rb") as log:
            log.seek(self._log_start)
            text = log.read(_LARGEST_STACK).decode(errors="replace")
        _, mark, stack = text.partition("Fatal Python error")
        return mark + stack


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code} in the middle of the trial"
    hint = " (the kernel does that when memory is short)" if code == -signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{hint}"


def _signal_group(process: Process, number: signal.Signals) -> None:
    """Signal the worker and its children; they are a session of their own.

    A group that is gone, or not there yet, is fine.
    """
    if process.pid is None:
        return
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _end_all(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.end()
    for worker in workers:
        worker.reap()
