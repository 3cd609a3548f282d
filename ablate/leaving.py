"""How the program ends when it is asked to while nothing needs putting away: at once, in one sentence."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130
"""Exit code of whatever was interrupted and goes on with the same command."""
SENTENCE = "interrupted; finished trials are kept, the same command goes on where it stopped"


def leave_at_once() -> None:
    """From here on SIGINT and SIGTERM end the process with a sentence. Whoever started it with SIGINT ignored keeps that.

    No exception is raised: libraries that are half imported swallow one or print it, and nothing that
    is begun yet needs it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)


def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Signal handler: say that the command was interrupted, and end the process without another word."""
    with contextlib.suppress(Exception):  # a stream that is being written, or is closed
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(2, f"{SENTENCE}\n".encode())
    os._exit(INTERRUPTED)
