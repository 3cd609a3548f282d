"""How a command ends: its exit code, and the one message that goes with it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType

import typer

from ablate.leaving import INTERRUPTED, SENTENCE

FAILED, WRONG = 1, 2


@contextmanager
def user_errors() -> Iterator[Callable[[], None]]:
    """A user's mistake is one message and exit code 2, never a traceback; Control-C and SIGTERM are a sentence and 130.

    Yields what a command calls once its imports are done: from then on an interrupt is an exception, so that what was begun is put away.
    """
    from ablate.errors import ReportError, RequestError, StudyStopped
    from ablate.tracking.passwords import hide_passwords

    try:
        with ExitStack() as stack:
            yield partial(_begin, stack)
    except StudyStopped as error:
        message = f"{error}\nthe study stopped; finished trials are kept, the same command goes on where it stopped"
        typer.echo(f"error: {hide_passwords(message)}", err=True)
        raise typer.Exit(FAILED) from None
    except RequestError as error:
        typer.echo(f"error: {hide_passwords(str(error))}", err=True)
        raise typer.Exit(WRONG) from None
    except ReportError as error:
        typer.echo(f"error: {hide_passwords(str(error))}", err=True)
        raise typer.Exit(FAILED) from None
    except OSError as error:  # of the rest of the machine: a full disk, a folder that was closed
        typer.echo(f"error: {hide_passwords(_about_file(error))}", err=True)
        raise typer.Exit(WRONG) from None
    except KeyboardInterrupt:
        typer.echo(SENTENCE, err=True)
        raise typer.Exit(INTERRUPTED) from None


def _begin(stack: ExitStack) -> None:
    from ablate.scheduling.interrupts import interruptible

    stack.enter_context(interruptible())


def _about_file(error: OSError) -> str:
    place = "" if error.filename is None else f"{error.filename}: "
    return f"{place}{error.strerror or error}; what was finished is kept, the same command goes on once that is mended"


def show_without_passwords(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print the traceback of a bug."""
    from ablate.tracking.passwords import hide_passwords

    sys.stderr.write(hide_passwords("".join(traceback.format_exception(kind, error, trace))))
