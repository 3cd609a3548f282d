"""How a command ends: its exit code, and the one message that goes with it."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType

import typer

from ablate.leaving import INTERRUPTED, SENTENCE

FAILED = 1
"""Exit code where the request was right and something of it failed."""
WRONG = 2
"""Exit code where the request was wrong and nothing was started."""


@contextmanager
def user_errors(*, is_json: bool = False) -> Iterator[Callable[[], None]]:
    """Turn a user's mistake into one message and exit code 2, never a traceback.

    Control-C and SIGTERM are a sentence and 130. Where `is_json`, standard output gets a document
    `{"error": ..., "message": ..., "exit_code": ...}` beside the message on standard error.

    Yields what a command calls once its imports are done: from then on an interrupt is an
    exception, so that what was begun is put away.
    """
    # Imported where they are used, so that `--help` waits for none of them.
    from ablate.errors import ReportError, RequestError

    try:
        # Closed on every way out, so that the handlers of signals are put back.
        with ExitStack() as stack:
            yield partial(_begin, stack)
    except (RequestError, ReportError, OSError) as error:
        code, message = _ending(error)
        typer.echo(f"error: {message}", err=True)
        # A program that parses standard output gets a document whatever happens.
        if is_json:
            document = {"error": type(error).__name__, "message": message, "exit_code": code}
            typer.echo(json.dumps(document, ensure_ascii=False))
        # `from None`: the chain of causes is for the developer, not for the reader of a message.
        raise typer.Exit(code) from None
    except KeyboardInterrupt:
        typer.echo(SENTENCE, err=True)
        raise typer.Exit(INTERRUPTED) from None


def _begin(stack: ExitStack) -> None:
    from ablate.scheduling.interrupts import interruptible

    stack.enter_context(interruptible())


def _ending(error: Exception) -> tuple[int, str]:
    """The exit code of an error, and what a user reads of it."""
    from ablate.errors import ReportError, StudyStopped
    from ablate.tracking.passwords import hide_passwords

    # A request that is refused is the usual case.
    code = WRONG
    message = str(error)
    if isinstance(error, StudyStopped):
        code = FAILED
        message += (
            "\nthe study stopped; finished trials are kept, "
            "the same command goes on where it stopped"
        )
    elif isinstance(error, ReportError):
        code = FAILED
    elif isinstance(error, OSError):  # of the rest of the machine: a full disk, a closed folder
        message = _about_file(error)
    # Messages quote the address of the store, and drivers quote it with its password.
    return code, hide_passwords(message)


def _about_file(error: OSError) -> str:
    place = ""
    if error.filename is not None:
        place = f"{error.filename}: "
    return (
        f"{place}{error.strerror or error}; what was finished is kept, "
        "the same command goes on once that is mended"
    )


def show_without_passwords(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print the traceback of a bug."""
    from ablate.tracking.passwords import hide_passwords

    # The frames of a database driver show the whole URL.
    sys.stderr.write(hide_passwords("".join(traceback.format_exception(kind, error, trace))))
