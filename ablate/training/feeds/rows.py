"""The activations of one view in memory, and what a trial has to say of how to get them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.image_rows import PickedRows
from ablate.study.trial_facts import PrefixCut


@dataclass(frozen=True)
class Rows:
    """Activations of one view, in the order of its split."""

    values: NDArray[Any] | PickedRows
    """(N, ...), memory-mapped or in memory; bfloat16 as uint16, since NumPy does not know it."""
    dtype: torch.dtype
    build_s: float
    """Seconds that computing them took, by whoever did."""

    def batch(self, indices: NDArray[np.int64]) -> Tensor:
        """Return the rows of some images, (B, ...), on the CPU."""
        rows = np.ascontiguousarray(self.values[indices])
        # view, not a conversion: the uint16 of bfloat16 rows are its bits
        return torch.from_numpy(rows).view(self.dtype)

    def picked(self, places: NDArray[np.int64]) -> Rows:
        """Return the rows of some images as rows of their own; nothing is copied."""
        return dataclasses.replace(self, values=PickedRows(self.values, places))


@dataclass(frozen=True)
class View:
    """What is computed: one view of one split, at the split points of one network."""

    identity: dict[str, Any]
    """Everything that determines the rows but the split point."""
    split_points: tuple[str, ...]
    """In the order of the pass; the trial needs the rows of the last."""
    from_images: Callable[[], Iterator[tuple[Tensor, ...]]]
    """Batches of activations at every split point."""
    from_rows: Callable[[Rows, int], Iterator[Tensor]]
    """Rows of an earlier split point and its number -> batches at the last."""
    kept: frozenset[int]
    """Numbers of the split points whose rows are worth keeping."""

    @property
    def last(self) -> int:
        """Number of the split point whose rows the trial needs."""
        return len(self.split_points) - 1


@dataclass
class CacheUse:
    """What a trial got from the cache; filled as it goes."""

    # Views computed from images, and views that were there; seconds spent and seconds saved.
    n_built: int = 0
    n_reused: int = 0
    build_s: float = 0.0
    saved_s: float = 0.0
    problems: list[str] = field(default_factory=list)
    cuts: list[PrefixCut] = field(default_factory=list)
    """Where the network was split, by phase of training."""
    ahead: set[str] = field(default_factory=set)
    """Keys of views that the trial built before it needed them.

    It would have waited for another process instead.
    """

    def took(self, rows: Rows, *, build_s: float) -> None:
        """Note rows that were there, and what it took to go on from them."""
        self.n_reused += 1
        self.saved_s += rows.build_s
        self.build_s += build_s

    def made(self, rows: Rows) -> None:
        """Note rows that had to be computed from images."""
        self.n_built += 1
        self.build_s += rows.build_s


def build_rows(batches: Iterable[tuple[Tensor, ...]]) -> tuple[Rows, ...]:
    """Compute into memory: batches of activations at some split points -> the rows of each.

    Each has the seconds that all of them took: they come from the same pass.
    """
    started = time.perf_counter()
    columns: list[list[Tensor]] = []
    for batch in batches:
        if not columns:
            columns = [[] for _ in batch]
        # One column a split point: a pass gives those of all of them at once.
        for column, activations in zip(columns, batch, strict=True):
            # Off the device at once: a view is larger than what a GPU has left beside a network.
            column.append(activations.cpu().contiguous())
    whole = list(map(torch.cat, columns))
    build_s = time.perf_counter() - started
    rows = []
    for values in whole:
        rows.append(Rows(_as_array(values), values.dtype, build_s))
    return tuple(rows)


def _as_array(values: Tensor) -> NDArray[Any]:
    # torch refuses numpy() for it; see `_NUMPY_DTYPES` for the way back
    if values.dtype == torch.bfloat16:
        return values.view(torch.uint16).numpy()
    return values.numpy()
