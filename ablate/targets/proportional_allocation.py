"""Whole numbers of images in proportion to the sizes of classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def allocate(counts: NDArray[np.int64], n: int, *, room: NDArray[np.int64]) -> NDArray[np.int64]:
    """Share `n` images among classes in proportion to `counts` (C,), by largest remainder.

    Each class gets at least one where `n` allows, and at most its `room` (C,). The sum is `n`
    unless there is too little room.
    """
    # fractions of images; whole numbers follow
    exact = counts * (n / counts.sum())
    least = np.zeros_like(counts)
    # with fewer images than classes some class goes without, whatever is promised
    if n >= len(counts):
        least += 1
    deal: NDArray[np.int64] = np.minimum(np.maximum(np.floor(exact).astype(np.int64), least), room)
    # Rounding down leaves some over, the least of one may take some too many: one at a time is
    # given to, or taken from, the class that is furthest from its exact share.
    while deal.sum() != n:
        step = 1 if deal.sum() < n else -1
        is_free = deal < room
        if step == -1:
            is_free = deal > np.minimum(least, room)
        # too little room for n, or a least of one each that is more than n: as close as it gets
        if not is_free.any():
            break
        # -inf: a class that is full, or at its least, is never chosen
        lack = np.where(is_free, (exact - deal) * step, -np.inf)
        # argmax takes the first of equals: which class that is must not depend on the machine
        deal[int(np.argmax(lack))] += step
    return deal
