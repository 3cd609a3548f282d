"""Figures as files.

One after the other, or, in a large report, in processes of their own beside the texts.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from ablate.reporting.figures.canvas import Picture, to_png, to_svg

MANY_RUNS = 100
"""From so many runs on, drawing takes long enough to pay for processes."""
_inherited: Sequence[Picture] = ()
"""What a forked process finds: figures need not be sent to it."""


@contextmanager
def drawing(
    pictures: Mapping[str, Picture], *, n_processes: int
) -> Iterator[Callable[[], dict[str, bytes]]]:
    """Begin to draw each picture as SVG and PNG, with `n_processes` beside this one, or none.

    Gives a function that waits for them: path below the report folder -> content. The bytes do not
    depend on the number of processes.
    """
    global _inherited
    if n_processes < 1 or not pictures:
        yield lambda: _merged(map(_files, pictures.values()))
        return
    _inherited = list(pictures.values())
    # A figure cannot be pickled cheaply; a forked process has them all already.
    context = multiprocessing.get_context("fork")
    try:
        with ProcessPoolExecutor(n_processes, mp_context=context) as pool:
            drawn = [pool.submit(_inherited_files, number) for number in range(len(pictures))]
            yield lambda: _merged(future.result() for future in drawn)
    finally:
        _inherited = ()


def spare_processes(n_runs: int) -> int:
    """Return how many processes may draw: one per core for a large report, else 0."""
    # A fork copies locks as they are, and not the threads that would release them.
    has_threads = threading.active_count() > 1
    can_fork = "fork" in multiprocessing.get_all_start_methods()
    if n_runs < MANY_RUNS or has_threads or not can_fork:
        return 0
    n_cores = len(os.sched_getaffinity(0))
    return n_cores if n_cores > 1 else 0


def _merged(parts: Iterable[Mapping[str, bytes]]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for part in parts:
        files.update(part)
    return files


def _files(picture: Picture) -> dict[str, bytes]:
    return {
        f"figures/{picture.name}.svg": to_svg(picture),
        f"figures/{picture.name}.png": to_png(picture),
    }


def _inherited_files(number: int) -> dict[str, bytes]:
    return _files(_inherited[number])
