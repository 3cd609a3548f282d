"""Stratified splits of images with several labels (Sechidis et al., 2011, ECML PKDD).

The rarest label goes first, because a common one can be evened out later: each of its images goes
to the part that still lacks most of that label. Unlike in the paper a part that is full takes
nothing more, so parts have exactly the sizes asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def stratify(labels: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the part (N,) of each image.

    `labels` (N, C) of 0 and 1; `sizes` (P,) sum to N. Ties go to the part with more room, then to
    the first.
    """
    # -1: not dealt yet
    part_of = np.full(len(labels), -1, dtype=np.int64)
    room = sizes.copy()
    n_left = labels.sum(axis=0)
    # fractions of an image are kept: the needs of small parts would round to 0
    wanted = n_left * (sizes / max(int(sizes.sum()), 1))[:, None]  # (P, C)
    while n_left.any():
        # len + 1 is more than any label can have: finished labels are never the rarest
        rarest = int(np.where(n_left > 0, n_left, len(labels) + 1).argmin())
        # in the order of the rows, which the caller has drawn: no order of a file comes in here
        for i in np.flatnonzero(labels[:, rarest] & (part_of < 0)):
            part = _neediest(wanted[:, rarest], room)
            part_of[i] = part
            room[part] -= 1
            # the image brings its other labels along, and they count too
            wanted[part] -= labels[i]
            n_left -= labels[i]
    # Images without any label fill up what is left.
    part_of[part_of < 0] = np.repeat(np.arange(len(sizes)), room)
    return part_of


def _neediest(wanted: NDArray[np.float64], room: NDArray[np.int64]) -> int:
    """The part with room that wants most of a label; `wanted` and `room` (P,)."""
    # Shares are products of floats: without rounding, equal wants would differ in the last digit.
    rounded = np.round(wanted, 9)

    def need(part: int) -> tuple[Any, ...]:
        # -part: the first of equals wins
        return (room[part] > 0, rounded[part], room[part], -part)

    return max(range(len(room)), key=need)


def whole_sizes(shares: Sequence[float], n: int) -> NDArray[np.int64]:
    """Whole numbers near `shares` of `n` that sum to it."""
    # edges are rounded, not sizes: rounded sizes may miss the sum by one
    edges = np.rint(np.cumsum(shares) / sum(shares) * n).astype(np.int64)
    return np.diff(edges, prepend=0)
