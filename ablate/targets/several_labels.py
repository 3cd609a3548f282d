"""Several classes per image, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ablate.targets._base import Label, SortKey, numbered
from ablate.targets.iterative_stratification import stratify, whole_sizes


@dataclass(frozen=True, eq=False)
class SeveralLabels:
    """See `Targets`."""

    array: NDArray[np.int64]
    """(N, C) of 0 and 1."""
    n_classes: int
    is_exclusive: ClassVar[bool] = False
    stratification: ClassVar[str] = "iteratively stratified"
    reference: ClassVar[str] = " (Sechidis et al., 2011)"

    @classmethod
    def of_labels(cls, labels: Sequence[Label], *, n_classes: int | None) -> Self:
        """See `Targets`."""
        # an image without any label is an empty row, and stays one of 0 alone
        positions = [np.array(label, dtype=np.int64) for label in labels]
        if n_classes is None:
            # -1: without any label at all there is no class
            largest = -1
            for row in positions:
                largest = int(row.max(initial=largest))
            n_classes = 1 + largest
        matrix = np.zeros((len(labels), n_classes), dtype=np.int64)
        for row, classes in zip(matrix, positions, strict=True):
            row[classes] = 1
        return cls(matrix, n_classes)

    @classmethod
    def of_array(cls, array: NDArray[np.integer], *, n_classes: int) -> Self:
        """See `Targets`."""
        return cls(np.asarray(array, dtype=np.int64), n_classes)

    @classmethod
    def of_columns(cls, columns: Mapping[Any, Any], *, n_classes: int) -> Self:
        """See `Targets`."""
        # by number, not as they stand: y_10 comes before y_2 where names are sorted
        of_classes = [columns[name] for name in numbered(columns, "y_")]
        return cls(np.stack(of_classes, axis=1).astype(np.int64), n_classes)

    @staticmethod
    def is_label(label: Label) -> bool:
        """See `Targets`."""
        return isinstance(label, tuple)

    @staticmethod
    def is_array(array: NDArray[np.integer]) -> bool:
        """See `Targets`."""
        return array.ndim == 2

    @staticmethod
    def first_column() -> str:
        """See `Targets`."""
        return "y_0"

    def __len__(self) -> int:
        """Images."""
        return len(self.array)

    def take(self, rows: NDArray[np.integer]) -> Self:
        """See `Targets`."""
        return type(self)(self.array[rows], self.n_classes)

    def label(self, row: int) -> tuple[int, ...]:
        """The classes of one image, ascending."""
        return tuple(np.flatnonzero(self.array[row]).tolist())

    def membership(self) -> NDArray[np.int64]:
        """See `Targets`."""
        return self.array

    def counts(self) -> tuple[int, ...]:
        """See `Targets`."""
        return tuple(self.array.sum(axis=0).tolist())

    def strata(self) -> list[NDArray[np.int64]]:
        """All images together: they have no single class to be drawn within."""
        return [np.arange(len(self.array))]

    def in_turn(self) -> NDArray[np.int64]:
        """As they stand."""
        return np.arange(len(self.array))

    def deal(
        self, keys: Sequence[SortKey], shares: Sequence[float], *, total: int | None
    ) -> NDArray[np.int64]:
        """Deal the images of the rarest class first; see `iterative_stratification`."""
        if total is None:
            sizes = whole_sizes(shares, len(self))
        else:
            # a second part for the rest: the stratification deals all images
            sizes = np.array([total, len(self) - total])
        in_order = np.array(sorted(range(len(self)), key=keys.__getitem__), dtype=np.int64)
        # Never in the order of the file: what a draw gives must not depend on it.
        part_of = np.empty(len(self), dtype=np.int64)
        part_of[in_order] = stratify(self.array[in_order], sizes)
        # With `total` the last part is what nobody takes.
        part_of[part_of >= len(shares)] = -1
        return part_of

    def deal_folds(self, keys: Sequence[SortKey], n_folds: int) -> NDArray[np.int64]:
        """See `Targets`."""
        return self.deal(keys, [1 / n_folds] * n_folds, total=None)

    def columns(self) -> dict[str, NDArray[np.integer]]:
        """See `Targets`."""
        # int8: a table of 100 classes would be eight times as large for nothing
        columns = self.array.astype(np.int8).T
        return {f"y_{index}": column for index, column in enumerate(columns)}
