"""The process that workers are forked from: it has imported all that a trial needs.

A worker that is forked begins at once, where one that is spawned imports torch for seconds, and
shares the memory of what was imported. The process computes nothing and touches no GPU; where it
finds that it cannot be forked all the same (`fork_safety`) it says so and ends, and workers are
spawned.

Messages are JSON, one a packet. In: {"key", "run_trial", "environment"} with two descriptors, a
worker's pipe and its log; without them {"key"} and the pipe of a helper, which answers calls of
functions. Out: {"unfit"} with the reason, or an empty one, once all is imported; {"key", "pid"}
once one is forked, {"key", "code"} once it has ended.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pickle
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from ablate.scheduling.executors.fork_safety import why_not_fork
from ablate.scheduling.executors.worker import serve

LARGEST_MESSAGE = 1 << 16
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from ablate.scheduling.executors.forking import fork_for; "
    "fork_for(int(sys.argv[2]), sys.argv[3:])"
)
"""What the interpreter runs: arguments are the parent's sys.path as JSON, the socket's descriptor,
and the modules to import."""


def fork_for(descriptor: int, modules: Sequence[str]) -> None:
    """Import `modules`, then fork a worker for each request until the other end hangs up."""
    client = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    # Python writes a byte for each signal: so one `select` waits for requests and for dead workers.
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, _noted)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for module in modules:
        # A worker meets the same error, and fails its trial with a traceback.
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    unfit = why_not_fork()
    with contextlib.suppress(OSError):  # nobody is left to hear of it: `_serve` ends at once
        _send(client, {"unfit": unfit})
    if unfit:
        os._exit(0)  # at once, whatever its threads do
    gc.collect()
    # The collector writes into what it looks at: pages that workers share would be copied.
    gc.freeze()
    keys: dict[int, int] = {}
    # Where nobody is left to hear of it, as where the other end hung up.
    with contextlib.suppress(OSError):
        _serve(client, woken, keys)
    _end_all(keys)


def _serve(client: socket.socket, woken: int, keys: dict[int, int]) -> None:
    """Fork until the other end hangs up; `keys` are those of the processes that run, by their ids.

    Raises OSError where it hung up with something unread.
    """
    watched: list[socket.socket | int] = [client, woken]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, LARGEST_MESSAGE)
            _report_dead(client, keys)
        if client in ready:
            message, descriptors, _, _ = socket.recv_fds(client, LARGEST_MESSAGE, 2)
            if not message:
                return
            request = json.loads(message)
            pid = _forked(client, request, descriptors)
            keys[pid] = request["key"]
            _send(client, {"key": request["key"], "pid": pid})


def _end_all(pids: Iterable[int]) -> NoReturn:
    """Nobody is left to ask: workers notice at their own pipes, unless they are stopped or busy."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    os._exit(0)


def _noted(number: int, frame: object) -> None:
    """A handler must be there, else no byte is written."""


def _forked(client: socket.socket, request: Mapping[str, Any], descriptors: Sequence[int]) -> int:
    """Fork one worker or helper; return its process id."""
    pid = os.fork()
    if pid == 0:
        try:
            client.close()
            _begin_anew()
            if "run_trial" in request:
                pipe, log = descriptors
                _become_worker(request, pipe, log)
            else:
                (pipe,) = descriptors
                answer_calls(pipe)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)  # whatever happens, a worker must never go on as the process it was
    for descriptor in descriptors:
        os.close(descriptor)  # the pipe breaks only when nobody holds the worker's end
    return pid


def _begin_anew() -> None:
    """Leave behind what was the server's: its session, its signals, its random numbers."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Python draws a new seed after a fork, numpy does not: two workers would draw the same numbers.
    # torch begins with the same seed in every process.
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def _become_worker(request: Mapping[str, Any], pipe: int, log: int) -> None:
    """What `local` does to a process that it spawns, done to this one."""
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    # A GPU is chosen here: CUDA reads its variable when it is first used, which it was not yet.
    os.environ.update(request["environment"])
    serve(request["run_trial"], pipe)


def answer_calls(descriptor: int) -> None:
    """Call what comes over the pipe until the other end hangs up.

    In: (module:function, positional, named). Out: (value, None) or (None, what it raised).
    """
    os.set_inheritable(descriptor, False)
    pipe = Connection(descriptor)
    while True:
        try:
            name, positional, named = pipe.recv()
        except EOFError:
            return
        pipe.send_bytes(_answer(name, positional, named))


def _answer(name: str, positional: tuple[Any, ...], named: Mapping[str, Any]) -> bytes:
    """What a call gives, as the bytes that `Connection.recv` reads.

    Raises whatever keeps it from being read there: the helper ends, and the call is made again by
    whoever asked.
    """
    try:
        answer = pickle.dumps((named_function(name)(*positional, **named), None))
    except Exception as error:
        # Its traceback does not travel.
        error.add_note(traceback.format_exc())
        answer = pickle.dumps((None, error))
    pickle.loads(answer)  # noqa: S301  # an exception may be written that cannot be read
    return answer


def named_function(name: str) -> Callable[..., Any]:
    """The function that "module:function" means."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def _report_dead(client: socket.socket, keys: dict[int, int]) -> None:
    for pid in list(keys):
        dead, status = os.waitpid(pid, os.WNOHANG)
        if dead:
            code = os.waitstatus_to_exitcode(status)
            _send(client, {"key": keys.pop(pid), "code": code})


def _send(client: socket.socket, message: Mapping[str, int | str]) -> None:
    client.send(json.dumps(message).encode())
