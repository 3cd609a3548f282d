"""Signals that ask for an end: SIGTERM (a cluster's, a service manager's) is treated as Control-C is. Only the main thread hears signals."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGTERM inside the block, as Python does for SIGINT."""
    with _handled({signal.SIGTERM: _interrupt}):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let neither interrupt the block: what is being put away must not stay half open."""
    with _handled(dict.fromkeys(_ENDING, signal.SIG_IGN)):
        yield


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


@contextmanager
def _handled(handlers: dict[signal.Signals, Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
