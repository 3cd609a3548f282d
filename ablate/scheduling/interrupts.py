"""Signals that ask for an end.

SIGTERM (a cluster's, a service manager's) is treated as Control-C is. Only the main thread hears
signals.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ablate.leaving import leave

_ENDING = (signal.SIGINT, signal.SIGTERM)


class _Shield:
    """Whether an interrupt must wait, and whether one was asked for.

    Only the main thread reads and writes it: that is where Python runs handlers.
    """

    depth = 0
    is_asked = False
    """From the signal on until a block of `interruptible` has ended by it, or what was begun is put
    away.

    An exception alone can be lost: libraries swallow it where they try imports, and Python itself
    in callbacks and destructors. Then the next `uninterrupted` raises it again."""


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _raise_if_asked() -> None:
    # Blocks can stand inside one another: the outermost one lets it through.
    if _Shield.is_asked and not _Shield.depth:
        _Shield.is_asked = False
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGTERM and SIGINT inside the block.

    Never inside `uninterrupted`. Whoever handles or ignores SIGINT otherwise keeps that.
    """
    # Ignored, as in a job in the background, or handled by whoever calls: then it stays so.
    handlers: dict[signal.Signals, Any] = {signal.SIGTERM: _interrupt}
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, leave):
        handlers[signal.SIGINT] = _interrupt
    with _handled(handlers):
        try:
            yield
        # Whatever ended the block, the interrupt has had its effect.
        except BaseException:
            if _is_main_thread():
                _Shield.is_asked = False
            raise
        if _is_main_thread():
            _raise_if_asked()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Run the block to its end before an interrupt is raised.

    An exception that comes from nowhere can leave half a line in a file, or Python's own locks held
    for ever: `with condition:` gives no guarantee between taking the lock and entering the block
    (seen once: a signal inside threading.Event.set, and everybody who used the event afterwards
    waited).
    """
    if not _is_main_thread():
        yield
        return
    _Shield.depth += 1
    try:
        yield
    finally:
        _Shield.depth -= 1
        _raise_if_asked()


@contextmanager
def ignoring_signals() -> Iterator[None]:
    """Let neither interrupt the block: what is being put away must not stay half open."""
    if _is_main_thread():
        _Shield.is_asked = False  # it was heard: this is what follows from it
    with _handled(dict.fromkeys(_ENDING, signal.SIG_IGN)):
        yield


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    _Shield.is_asked = True
    if not _Shield.depth:
        raise KeyboardInterrupt


@contextmanager
def _handled(handlers: dict[signal.Signals, Any]) -> Iterator[None]:
    if not _is_main_thread():
        yield
        return
    # Python lets only the main thread set handlers, and runs them there.
    former = {}
    for number, handler in handlers.items():
        former[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
