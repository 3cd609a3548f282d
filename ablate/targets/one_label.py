"""One class per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ablate.targets._base import Label, SortKey
from ablate.targets.equal_folds import equal_folds
from ablate.targets.proportional_allocation import allocate


@dataclass(frozen=True, eq=False)
class OneLabel:
    """See `Targets`."""

    array: NDArray[np.int64]
    """(N,) positions in `class_names`."""
    n_classes: int
    is_exclusive: ClassVar[bool] = True
    stratification: ClassVar[str] = "stratified"
    reference: ClassVar[str] = ""

    @classmethod
    def of_labels(cls, labels: Sequence[Label], *, n_classes: int | None) -> Self:
        """See `Targets`."""
        array = np.array(labels, dtype=np.int64)
        if n_classes is None:
            # initial=-1: without an image there is no class
            n_classes = 1 + int(array.max(initial=-1))
        return cls(array, n_classes)

    @classmethod
    def of_array(cls, array: NDArray[np.integer], *, n_classes: int) -> Self:
        """See `Targets`."""
        return cls(np.asarray(array, dtype=np.int64), n_classes)

    @classmethod
    def of_columns(cls, columns: Mapping[Any, Any], *, n_classes: int) -> Self:
        """See `Targets`."""
        return cls(np.asarray(columns["label"], dtype=np.int64), n_classes)

    @staticmethod
    def is_label(label: Label) -> bool:
        """See `Targets`."""
        return not isinstance(label, tuple)

    @staticmethod
    def is_array(array: NDArray[np.integer]) -> bool:
        """See `Targets`."""
        return array.ndim == 1

    @staticmethod
    def first_column() -> str:
        """See `Targets`."""
        return "label"

    def __len__(self) -> int:
        """Images."""
        return len(self.array)

    def take(self, rows: NDArray[np.integer]) -> Self:
        """See `Targets`."""
        return type(self)(self.array[rows], self.n_classes)

    def label(self, row: int) -> int:
        """The class of one image."""
        return int(self.array[row])

    def membership(self) -> NDArray[np.int64]:
        """See `Targets`."""
        return np.eye(self.n_classes, dtype=np.int64)[self.array]

    def counts(self) -> tuple[int, ...]:
        """See `Targets`."""
        return tuple(np.bincount(self.array, minlength=self.n_classes).tolist())

    def strata(self) -> list[NDArray[np.int64]]:
        """The images of each class: splits are stratified, and macro means need every class."""
        return [np.flatnonzero(self.array == label) for label in np.unique(self.array)]

    def in_turn(self) -> NDArray[np.int64]:
        """The first image of each class, then the second ones, and so on."""
        # stable, here and below: the first images of a class are the first of the data set
        by_class = np.argsort(self.array, kind="stable")
        sizes = np.bincount(self.array)
        first_of_class = np.repeat(np.cumsum(sizes) - sizes, sizes)
        rank_in_class = np.arange(len(self.array)) - first_of_class
        return by_class[np.argsort(rank_in_class, kind="stable")]

    def deal(
        self, keys: Sequence[SortKey], shares: Sequence[float], *, total: int | None
    ) -> NDArray[np.int64]:
        """Deal the images of each class in the order of their keys, by largest remainder."""
        members = self._members(keys)
        # as many as the classes that have images: an absent class has nothing to allocate
        counts = np.array(list(map(len, members)))
        # part by part, each takes the next images of every class: parts never share an image
        n_dealt = np.zeros_like(counts)
        part_of = np.full(len(self), -1, dtype=np.int64)
        for part, share in enumerate(shares):
            room = counts - n_dealt
            is_last = part == len(shares) - 1
            if total is not None:
                n_of_class = allocate(counts, total, room=room)
            elif is_last:
                # What is left: rounding of its own would lose images.
                n_of_class = room
            else:
                n_of_class = allocate(counts, round(share * len(self)), room=room)
            for rows, start, n in zip(members, n_dealt, n_of_class, strict=True):
                part_of[rows[start : start + n]] = part
            n_dealt = n_dealt + n_of_class
        return part_of

    def deal_folds(self, keys: Sequence[SortKey], n_folds: int) -> NDArray[np.int64]:
        """See `Targets`."""
        in_order = np.array(sorted(range(len(self)), key=keys.__getitem__), dtype=np.int64)
        fold_of = np.empty(len(self), dtype=np.int64)
        fold_of[in_order] = equal_folds(self.array[in_order], n_folds)
        return fold_of

    def _members(self, keys: Sequence[SortKey]) -> list[NDArray[np.int64]]:
        """The rows of each class that has images, in the order of their keys."""
        # the keys are drawn by image id, so the order of the files changes no split
        in_order = np.array(sorted(range(len(self)), key=keys.__getitem__), dtype=np.int64)
        labels = self.array[in_order]
        # np.unique sorts: classes come in the same order whatever the order of the images
        return [in_order[labels == label] for label in np.unique(labels)]

    def columns(self) -> dict[str, NDArray[np.integer]]:
        """See `Targets`."""
        return {"label": self.array}
