"""Figures as files: in this process, or for a large report in others beside its texts."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from ablate.reporting.figures.picture import Picture, to_png, to_svg

MANY_RUNS = 20
"""From so many runs on, drawing takes long enough to pay for processes."""
_inherited: Sequence[Picture] = ()
"""What a forked process finds in its memory: matplotlib's figures need not be pickled for it."""


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
        yield lambda: _joined(map(_files, pictures.values()))
        return
    # Set before the pool forks its processes, which is at the first `submit`.
    _inherited = list(pictures.values())
    # Only a forked process inherits the figures.
    context = multiprocessing.get_context("fork")
    try:
        with ProcessPoolExecutor(n_processes, mp_context=context) as pool:
            futures = {}
            # The last ones, of example images, take longest: none of them must be left alone.
            for number in reversed(range(len(pictures))):
                futures[number] = pool.submit(_inherited_files, number)
            yield lambda: _joined(futures[number].result() for number in range(len(pictures)))
    finally:
        _inherited = ()


def _joined(parts: Iterator[dict[str, bytes]]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for part in parts:
        files |= part
    return files


def spare_processes(n_runs: int) -> int:
    """How many processes may draw: one per core for a large report, otherwise none.

    None either where this process has other threads: a fork copies the locks that they hold, and
    nobody would ever release them.
    """
    can_fork = "fork" in multiprocessing.get_all_start_methods()
    if n_runs < MANY_RUNS or threading.active_count() > 1 or not can_fork:
        return 0
    n_cores = len(os.sched_getaffinity(0))
    return n_cores if n_cores > 1 else 0


def _files(picture: Picture) -> dict[str, bytes]:
    return {
        f"figures/{picture.name}.svg": to_svg(picture),
        f"figures/{picture.name}.png": to_png(picture),
    }


def _inherited_files(number: int) -> dict[str, bytes]:
    return _files(_inherited[number])
