"""How the program ends while nothing needs putting away: at once, in one sentence.

Imports next to nothing: until it has been imported, an interrupt is a traceback.
"""

from __future__ import annotations

import os
import signal
import sys

# Not from typing: to import that takes longer than all the rest of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = 130
"""Exit code of whatever was interrupted and goes on with the same command."""
SENTENCE = "interrupted; finished trials are kept, the same command goes on where it stopped"

# A list, so that the handler reads the sentence of the moment without a `global`.
_sentence = [SENTENCE]


def leave_at_once(sentence: str = SENTENCE) -> None:
    """From here on SIGINT and SIGTERM end the process with a sentence.

    Whoever started it with SIGINT ignored keeps that. No exception is raised: libraries that are
    half imported swallow one or print it, and nothing that is begun yet needs it.
    """
    _sentence[:] = [sentence]
    for number in (signal.SIGINT, signal.SIGTERM):
        # A script's background jobs start with SIGINT ignored: Control-C is not meant for them.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)


def finish_undisturbed() -> None:
    """From here on SIGINT and SIGTERM are ignored: for the end of the process, when all is done.

    The interpreter gives signals back to the system before it clears its modules away, which takes
    a second with PyTorch. What came then would turn the exit code of a finished command into a
    signal's.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def leave_with(code: list[int]) -> None:
    """Last of all: end the process with the code that stands in the list by then.

    The interpreter would clear its modules away first, which takes a second with pandas and MLflow
    and is of no use to a process whose memory goes with it.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed, or never there
            continue
    os._exit(code[0])


def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Signal handler: print that the command was interrupted, and end the process."""
    try:
        sys.stdout.flush()
        # os.write, since print is not reentrant: the signal may have come in the middle of one.
        os.write(2, f"{_sentence[0]}\n".encode())
    except Exception:  # a stream that is closed, or is being written this very moment
        os._exit(INTERRUPTED)
    # Not sys.exit, which would raise in the middle of whatever runs, and wait for its threads.
    os._exit(INTERRUPTED)
