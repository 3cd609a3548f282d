"""Stratified splits of images with several labels: iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011, ECML PKDD).

The rarest label goes first, because a common one can be evened out later: each of its images goes to the part that still lacks most of that label. Unlike in
the paper a part that is full takes nothing more, so parts have exactly the sizes asked for. Images come in the order of their random keys, never of the file.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ablate.data.sources._base import Item, label_array
from ablate.streams import stream


def deal_by_labels(
    items: Sequence[Item], shares: Sequence[float], *, seed: int, purpose: str, total: int | None
) -> list[tuple[Item, ...]]:
    """Deal all items to parts of the given shares, which sum to 1; with `total` draw so many for a single part. Parts keep the order of `items`."""
    sizes = [total, len(items) - total] if total is not None else _sizes(shares, len(items))
    keys = [(stream(seed, "split", purpose, item.image_id), item.image_id) for item in items]
    order = np.array(sorted(range(len(items)), key=keys.__getitem__), dtype=np.int64)
    n_classes = 1 + max(
        (position for item in items if isinstance(item.label, tuple) for position in item.label),
        default=0,
    )
    part_of = np.empty(len(items), dtype=np.int64)
    part_of[order] = stratify(label_array(items, n_classes=n_classes)[order], np.array(sizes))
    return [
        tuple(item for item, own in zip(items, part_of, strict=True) if own == part)
        for part in range(len(shares))
    ]


def stratify(labels: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the part (N,) of each image. `labels` (N, C) of 0 and 1; `sizes` (P,) sum to N. Ties go to the part with more room, then to the first."""
    part_of, room = np.full(len(labels), -1, dtype=np.int64), sizes.copy()
    wanted = labels.sum(axis=0) * (sizes / max(int(sizes.sum()), 1))[:, None]  # (P, C)
    left = labels.sum(axis=0)
    while left.any():
        label = int(np.where(left > 0, left, len(labels) + 1).argmin())
        for i in np.flatnonzero(labels[:, label] & (part_of < 0)):
            part = max(
                range(len(sizes)),
                key=lambda k: (room[k] > 0, round(wanted[k, label], 9), room[k], -k),
            )
            part_of[i] = part
            room[part] -= 1
            wanted[part] -= labels[i]
            left -= labels[i]
    part_of[part_of < 0] = np.repeat(np.arange(len(sizes)), room)
    return part_of


def _sizes(shares: Sequence[float], n: int) -> list[int]:
    """Whole numbers near `shares` of `n` that sum to it."""
    edges = np.rint(np.cumsum(shares) / sum(shares) * n).astype(np.int64)
    return [int(size) for size in np.diff(edges, prepend=0)]
