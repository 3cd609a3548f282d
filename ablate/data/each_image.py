"""Do the same for many images at once. What is wrong with any of them is said of all of them, in one error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ablate.errors import DataError

Value = TypeVar("Value")
N_NAMED = 20
"""Bad images whose messages are shown; the others are counted."""


def for_each(tasks: Iterable[Callable[[], Value]]) -> list[Value]:
    """Call every task, in a few threads; return the values in order. Raises one DataError for all tasks that raise one."""
    with image_threads() as pool:
        outcomes = list(pool.map(_outcome, tasks))
    refuse([str(outcome) for outcome in outcomes if isinstance(outcome, DataError)])
    return [outcome for outcome in outcomes if not isinstance(outcome, DataError)]


def image_threads() -> ThreadPoolExecutor:
    """Threads for work that waits for a disk, or for a decoder that lets others run."""
    return ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))


def refuse(messages: Sequence[str]) -> None:
    """Raise one DataError for images that cannot be read: all are counted, the first are named. Nothing where there are none."""
    if len(messages) == 1:
        raise DataError(messages[0])
    if messages:
        more = f"\n... and {len(messages) - N_NAMED} more" if len(messages) > N_NAMED else ""
        raise DataError(
            f"{len(messages)} images cannot be read:\n" + "\n".join(messages[:N_NAMED]) + more
        )


def _outcome(task: Callable[[], Value]) -> Value | DataError:
    try:
        return task()
    except DataError as error:
        return error
