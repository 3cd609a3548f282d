"""The process behind a local slot: requests in, events out, as JSON over one pipe.

Imports nothing heavy before its first request.
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from ablate.scheduling.executors._base import execute
from ablate.study.request import TrialRequest
from ablate.tracking.events import Event, to_json

ALIVE = b""
"""What a worker sends while it can do anything at all: a process that is stopped, or held fast in
foreign code, cannot."""
ALIVE_EVERY_S = 2.0
PRUNE = b"prune "
"""Begins the message that a trial is to be ended; its id and attempt follow, because it may have
ended by itself meanwhile."""
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from ablate.scheduling.executors.worker import serve; serve(sys.argv[2], int(sys.argv[3]))"
)
"""What the interpreter of a worker runs: arguments are the parent's sys.path as JSON, the name of
the run function, and the pipe's descriptor."""


def serve(run_trial: str, descriptor: int) -> None:
    """Run requests until the conductor hangs up.

    A conductor that dies takes its workers with it, at once and in the middle of a trial.
    """
    faulthandler.enable()
    os.set_inheritable(descriptor, False)  # children of a trial must not keep the pipe open
    pipe = Connection(descriptor)
    requests: queue.SimpleQueue[TrialRequest] = queue.SimpleQueue()
    pruned: set[str] = set()
    # The heart and the trial share the pipe: a message is whole before the next one begins.
    is_free = threading.Lock()
    _start("ablate-listener", _listen, pipe, requests, pruned)
    _start("ablate-heart", _beat, pipe, is_free)

    def send(event: Event) -> bool:
        with is_free:
            pipe.send_bytes(json.dumps(to_json(event)).encode())
        return f"{event.trial_id} {event.attempt}" in pruned

    # In the main thread: a library that sets a signal handler can do so only there.
    while True:
        execute(run_trial, requests.get(), send)


def _start(name: str, target: Callable[..., None], *arguments: object) -> None:
    """A thread that ends with the process."""
    threading.Thread(target=target, args=arguments, name=name, daemon=True).start()


def _listen(pipe: Connection, requests: queue.SimpleQueue[TrialRequest], pruned: set[str]) -> None:
    while True:
        try:
            message = pipe.recv_bytes()
            # A request is JSON and begins with a brace.
            if message.startswith(PRUNE):
                pruned.add(message.removeprefix(PRUNE).decode())
            else:
                requests.put(TrialRequest.model_validate_json(message))
        except (EOFError, OSError):
            os._exit(0)  # nobody is left to hear of the result


def _beat(pipe: Connection, is_free: threading.Lock) -> None:
    while True:
        with is_free:
            try:
                pipe.send_bytes(ALIVE)
            except OSError:
                return  # `_listen` ends the process
        time.sleep(ALIVE_EVERY_S)
