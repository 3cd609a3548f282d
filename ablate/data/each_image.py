"""Do the same for many images at once, and report what is wrong with any of them in one error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ablate.errors import DataError

Value = TypeVar("Value")
# Enough to see what they have in common.
N_NAMED = 20
"""Bad images whose messages are shown; the others are counted."""
# More would only wait for the same disk.
_MAX_THREADS = 8


def for_each(tasks: Iterable[Callable[[], Value]]) -> list[Value]:
    """Call every task, in a few threads; return the values in order.

    Raises one DataError for all tasks that raise one.
    """
    with image_threads() as pool:
        # Errors come back as values: an exception would hide those of all later images.
        outcomes = list(pool.map(_outcome, tasks))
    values = []
    messages = []
    for outcome in outcomes:
        if isinstance(outcome, DataError):
            messages.append(str(outcome))
        else:
            values.append(outcome)
    refuse(messages)
    return values


def image_threads() -> ThreadPoolExecutor:
    """Threads for work that waits for a disk, or for a decoder that releases the GIL."""
    return ThreadPoolExecutor(max_workers=min(_MAX_THREADS, os.cpu_count() or 1))


def refuse(messages: Sequence[str]) -> None:
    """Raise one DataError for images that cannot be read, unless there are none.

    All are counted, the first are named.
    """
    if not messages:
        return
    if len(messages) == 1:
        raise DataError(messages[0])
    lines = [f"{len(messages)} images cannot be read:", *messages[:N_NAMED]]
    if len(messages) > N_NAMED:
        lines.append(f"... and {len(messages) - N_NAMED} more")
    raise DataError("\n".join(lines))


def _outcome(task: Callable[[], Value]) -> Value | DataError:
    try:
        return task()
    except DataError as error:
        return error
