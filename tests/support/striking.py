"""Processes that open a store for the first time, and are struck down meanwhile.

They come from a server that has imported MLflow once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from ablate.tracking.mlflow_store import MlflowStore

WAIT_S = 60.0


def open_first(uri: str) -> None:
    """What every command does first."""
    MlflowStore(uri, "toy").check_reachable()


def opener(uri: str) -> BaseProcess:
    """A process that opens the store; it has begun when this returns."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ablate.tracking.mlflow_store"])
    process = context.Process(target=open_first, args=(uri,))
    process.start()
    return process


def strike(uri: str, number: signal.Signals, *, after_s: float) -> None:
    """Start to make the store in an empty folder, and send a signal so long after its file began to
    grow.
    """
    process = opener(uri)
    home = Path(uri.removeprefix("sqlite:///")).parent
    until = time.monotonic() + WAIT_S
    while not list(home.glob("mlflow.db*")) and process.is_alive() and time.monotonic() < until:
        time.sleep(0.002)
    time.sleep(after_s)
    if process.is_alive():
        assert process.pid is not None
        os.kill(process.pid, number)
    process.join(WAIT_S)
    assert process.exitcode is not None
