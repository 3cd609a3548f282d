"""The conductor's end of the process that workers are forked from; see `forking`.

Imports nothing heavy, so that a command can start the process before its own imports: the two go
side by side.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ablate.scheduling.executors.fork_safety import SETTINGS
from ablate.scheduling.executors.forking import LARGEST_MESSAGE, START, named_function

UNKNOWN_CODE = 255
"""Exit code of a worker whose server died before it could say what the worker ended with."""
LONGEST_START_S = 300.0
"""A server that has not forked a worker after so long is given up."""
_POLL_S = 0.05
_HELPER_POLL_S = 1.0
_LOG = logging.getLogger(__name__)


def import_path() -> list[str]:
    """Where this process imports from, for another one that may run in another folder."""
    # Absolute, because the entry "" means the folder that a process is in.
    return [str(Path(entry).absolute()) for entry in sys.path]


class ForkServer:
    """A process that has imported some modules, and forks workers. A context manager."""

    def __init__(self, modules: Sequence[str], *, environment: Mapping[str, str]) -> None:
        """Start it; returns at once. `environment` must stand before anything is imported."""
        self.environment = dict(environment)
        """What its workers have, whether their slots name it or not."""
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        arguments = [json.dumps(import_path()), str(theirs.fileno()), *modules]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", START, *arguments],
                env={**os.environ, "PYTHONUNBUFFERED": "1", **SETTINGS, **self.environment},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # SIGINT of the terminal goes to the conductor only
            )
        self._workers: dict[int, ForkedProcess] = {}
        self._helpers: list[ForkedProcess] = []
        self._n_asked = 0
        self._is_ready = False
        self._is_gone = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def process_id(self) -> int:
        """Of the process that imports and forks."""
        return self._process.pid

    @property
    def is_gone(self) -> bool:
        """Whether it forks no more."""
        return self._is_gone

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether a worker with these variables can be forked.

        Libraries read the number of their threads when they are loaded, which is over.
        """
        if self._is_gone:
            return False
        return all(environment.get(name) == value for name, value in self.environment.items())

    def fork(
        self, run_trial: str, *, pipe: int, log: int, environment: Mapping[str, str]
    ) -> ForkedProcess:
        """Ask for a worker, which appears once the modules are imported.

        It gets copies of the descriptors `pipe` and `log`.
        """
        return self._ask({"run_trial": run_trial, "environment": dict(environment)}, [pipe, log])

    def helper(self) -> Helper:
        """Ask for a process that answers calls of functions."""
        ours, theirs = Pipe()
        with theirs:
            process = self._ask({}, [theirs.fileno()])
        self._helpers.append(process)
        return Helper(ours, process)

    def _ask(self, wanted: Mapping[str, Any], descriptors: Sequence[int]) -> ForkedProcess:
        self._n_asked += 1
        # Numbered, not named by its pid: it is asked for before it has one.
        process = ForkedProcess(self, self._n_asked)
        # Before it is sent, so that an answer finds it.
        self._workers[process.key] = process
        message = json.dumps({"key": process.key, **wanted}).encode()
        try:
            # Descriptors travel with the message: both processes then have the same open files.
            socket.send_fds(self._socket, [message], descriptors)
        except OSError:
            process.refuse()
            self.hear()  # whether it ever was ready
            self._lost()
        return process

    def hear(self) -> None:
        """Take in what the process says of its workers; returns at once."""
        while not self._is_gone and select.select([self._socket], [], [], 0)[0]:
            try:
                message = self._socket.recv(LARGEST_MESSAGE)
            except ConnectionResetError:
                # It ended with requests unread, which is said once and before its last words.
                continue
            if not message:
                self._lost()
                return
            self._take_in(json.loads(message))

    def _take_in(self, said: Mapping[str, Any]) -> None:
        if "unfit" in said:
            self._is_ready = not said["unfit"]
            if said["unfit"]:
                _LOG.info("workers are not forked but spawned, since %s", said["unfit"])
                self._lost()
            return
        worker = self._workers[said["key"]]
        if "pid" in said:
            worker.forked_as(said["pid"])
        else:
            worker.returncode = said["code"]
            # Its end is the last that is ever said of it.
            del self._workers[worker.key]

    def close(self) -> None:
        """End the process and its helpers.

        Workers that still run are whoever's who asked for them.
        """
        self.hear()
        for helper in self._helpers:
            # What it computes nobody waits for any more.
            helper.send_signal(signal.SIGKILL)
        self._lost()
        # Killed, not asked: it may be in the middle of an import and hear nothing.
        self._process.kill()
        self._process.wait()
        self._socket.close()

    def _lost(self) -> None:
        """Nothing is heard any more: workers that it forked run on, others never come."""
        self._is_gone = True
        if self._is_ready:
            return
        for process in self._workers.values():
            process.refuse()


class Helper:
    """Calls functions in a process that has imported what they need.

    Where that process is gone they are called in this one: the answers are the same.
    """

    def __init__(self, pipe: Connection, process: ForkedProcess) -> None:
        self._pipe = pipe
        self._process = process
        self._begun: tuple[str, tuple[Any, ...], dict[str, Any]] | None = None

    def begin(self, name: str, *positional: Any, **named: Any) -> None:
        """Begin to call "module:function"; `end` gives what it returns."""
        self._begun = (name, positional, named)
        with contextlib.suppress(OSError):  # it is gone: `end` says so
            self._pipe.send(self._begun)

    def end(self) -> Any:
        """Wait for the call that was begun; raise what it raised."""
        assert self._begun is not None
        name, positional, named = self._begun
        try:
            # A server that hangs in an import answers nobody, and does not end either.
            while not self._pipe.poll(_HELPER_POLL_S):
                if self._process.is_overdue:
                    raise EOFError
            value, error = self._pipe.recv()
        except (EOFError, OSError):
            # For good: a late answer would be taken for that of the next call.
            self.close()
            return named_function(name)(*positional, **named)
        if error is not None:
            raise error
        return value

    def call(self, name: str, *positional: Any, **named: Any) -> Any:
        """`begin` and `end`."""
        self.begin(name, *positional, **named)
        return self.end()

    def close(self) -> None:
        """Let the process go, and what it holds of memory and of a GPU."""
        self._pipe.close()


class ForkedProcess:
    """One worker, with as much of `subprocess.Popen` as `local` uses."""

    def __init__(self, server: ForkServer, key: int) -> None:
        self.key = key
        self.pid: int | None = None
        """None until it is forked."""
        self.returncode: int | None = None
        """None while it runs; negative for the signal that ended it."""
        self._is_refused = False
        self._server = server
        self._asked = time.monotonic()
        self._born = ""

    @property
    def is_awaited(self) -> bool:
        """Whether the server still imports, and that does not take for ever."""
        return self._is_coming and not self.is_overdue

    @property
    def is_overdue(self) -> bool:
        """Whether the server imports for longer than anybody waits."""
        return self._is_coming and time.monotonic() - self._asked >= LONGEST_START_S

    @property
    def _is_coming(self) -> bool:
        self.poll()
        return self.pid is None and self.returncode is None

    @property
    def is_refused(self) -> bool:
        """Whether there never was such a process, nor will be: who asked for it asks elsewhere."""
        self.poll()
        return self._is_refused

    def forked_as(self, pid: int) -> None:
        """It is there."""
        self.pid = pid
        # Read at once: after its end the number may be another process's.
        self._born = _born(pid)

    def refuse(self) -> None:
        """It will never be there."""
        self._is_refused = True

    def poll(self) -> int | None:
        """The exit code, or None while it runs or is awaited."""
        if self.returncode is None:
            self._server.hear()
        # Without its server nobody waits for it, so the system takes it away when it has ended.
        if self.returncode is None and self._server.is_gone and not self._exists():
            self.returncode = UNKNOWN_CODE
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once there is one. Raises subprocess.TimeoutExpired.

        Without `timeout` a worker that is not forked yet is not waited for: its server is ended.
        """
        until = time.monotonic() + (float("inf") if timeout is None else timeout)
        while (code := self.poll()) is None:
            # It may wait for an import that never ends, and whoever waits here is about to leave.
            if timeout is None and self.pid is None:
                self._server.close()
            elif time.monotonic() > until:
                raise subprocess.TimeoutExpired("a forked worker", timeout or 0.0)
            else:
                time.sleep(_POLL_S)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the worker alone, where there is one."""
        if self.pid is not None and self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _exists(self) -> bool:
        # By its birth, too: the number of a process that ended is given to another one.
        return self.pid is not None and _born(self.pid) == self._born != ""


def _born(pid: int) -> str:
    """When a process began, in ticks of the system; empty where it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # "7 (python) S 1 ...": the third field is its state, the 22nd its birth.
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended, whether or not anybody takes it away.
    return "" if fields[0] == "Z" else fields[19]


def can_fork() -> bool:
    """Whether workers can be forked here.

    Elsewhere than on Linux, systems' own libraries break in forked processes.
    """
    return sys.platform == "linux"
