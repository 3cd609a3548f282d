"""Figures as files: one after the other, or, in a large report, in processes of their own beside the texts."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from ablate.reporting.figures.draw import Picture, to_png, to_svg

MANY_RUNS = 100
"""From so many runs on, drawing takes long enough to pay for processes."""
_inherited: Sequence[Picture] = ()
"""What a forked process finds: figures need not be sent to it."""


@contextmanager
def drawing(
    pictures: Mapping[str, Picture], *, n_processes: int
) -> Iterator[Callable[[], dict[str, bytes]]]:
    """Begin to draw each picture as SVG and PNG, with `n_processes` beside this one, or none; the bytes do not depend on how many.

    Gives a function that waits for them: path below the report folder -> content.
    """
    global _inherited
    if n_processes < 1 or not pictures:
        yield lambda: {
            name: content
            for picture in pictures.values()
            for name, content in _files(picture).items()
        }
        return
    _inherited = list(pictures.values())
    try:
        with ProcessPoolExecutor(
            n_processes, mp_context=multiprocessing.get_context("fork")
        ) as pool:
            asked = [pool.submit(_inherited_files, number) for number in range(len(pictures))]
            yield lambda: {name: content for one in asked for name, content in one.result().items()}
    finally:
        _inherited = ()


def spare_processes(n_runs: int) -> int:
    """Return how many processes may draw: one a core for a large report, where this process has no other threads that a fork would leave half-way."""
    if (
        n_runs < MANY_RUNS
        or threading.active_count() > 1
        or "fork" not in multiprocessing.get_all_start_methods()
    ):
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
