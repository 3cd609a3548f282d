"""Images as rows of an array, and some rows of one that look like an array of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class ImageRows(Protocol):
    """(N, side, side, 3) uint8: an array, or what is read like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, side, side, 3)"""
        ...

    def __len__(self) -> int:
        """N."""
        ...

    def __getitem__(self, key: Any, /) -> Any:
        """As an array has it."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Row by row."""
        ...


@dataclass(frozen=True)
class PickedRows:
    """Some rows of an array that stays where it is: nothing is copied before it is asked for."""

    whole: Any
    """(M, ...), usually mapped from disk; activations are picked like images."""
    rows: NDArray[np.int64]
    """(N,) places in `whole`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)"""
        return (len(self.rows), *self.whole.shape[1:])

    @property
    def nbytes(self) -> int:
        """As an array has it."""
        return len(self.rows) * int(self.whole[:1].nbytes)

    def __len__(self) -> int:
        """N."""
        return len(self.rows)

    def __getitem__(self, key: Any) -> Any:
        """A row, or a copy of several; further indices cut them, as in an array."""
        if isinstance(key, tuple):
            return self.whole[(self.rows[key[0]], *key[1:])]
        return self.whole[self.rows[key]]

    def __iter__(self) -> Iterator[Any]:
        """Row by row."""
        for row in self.rows:
            yield self.whole[row]
