"""The labels of some images, in their order: what the images of a task are taught and judged by.

Whoever holds labels asks them; nobody looks at an array's shape, or a label's type, to learn which
kind they are. Arrays are what an image store keeps and what a batch is cut from.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Label = int | tuple[int, ...]
"""Of one image: a position in `class_names`, or several of them, ascending, perhaps none."""
SortKey = tuple[int, str]
"""What orders an image in a draw: a number of the stream, then the image's id."""


class Targets(Protocol):
    """What all kinds of labels can say. Each kind is a frozen dataclass; `TARGETS` lists them.

    Labels say nothing of places in an image, so that an augmentation leaves them alone. A kind
    that does (boxes) moves with the image's geometry, and adds that here.
    """

    @property
    def array(self) -> NDArray[np.int64]:
        """(N, ...) as an image store keeps it."""
        ...

    @property
    def n_classes(self) -> int:
        """Classes that there are, whether or not an image has them."""
        ...

    @property
    def is_exclusive(self) -> bool:
        """Whether each image has exactly one class: images of one class alone choose nothing."""
        ...

    @property
    def stratification(self) -> str:
        """How `deal` splits, as an adjective: "stratified"."""
        ...

    @property
    def reference(self) -> str:
        """Where the way of `deal` is described, " (A and B, 2011)"; empty where all know it."""
        ...

    @classmethod
    def of_labels(cls, labels: Sequence[Label], *, n_classes: int | None) -> Self:
        """Targets of images with these labels; None for as many classes as they name."""
        ...

    @classmethod
    def of_array(cls, array: NDArray[np.integer], *, n_classes: int) -> Self:
        """Inverse of `array`."""
        ...

    @classmethod
    def of_columns(cls, columns: Mapping[Any, Any], *, n_classes: int) -> Self:
        """Inverse of `columns`."""
        ...

    @staticmethod
    def is_label(label: Label) -> bool:
        """Whether this kind has such labels."""
        ...

    @staticmethod
    def is_array(array: NDArray[np.integer]) -> bool:
        """Whether this kind is kept in such arrays."""
        ...

    @staticmethod
    # asked of a class, before there is any object
    def first_column() -> str:
        """The name of a column that a predictions file of this kind has, and of no other."""
        ...

    def __len__(self) -> int:
        """Images."""
        ...

    def take(self, rows: NDArray[np.integer]) -> Self:
        """Targets of the images in `rows`, in that order."""
        ...

    def label(self, row: int) -> Label:
        """The label of one image."""
        ...

    def membership(self) -> NDArray[np.int64]:
        """(N, C) of 0 and 1: whether the image has the class."""
        ...

    def counts(self) -> tuple[int, ...]:
        """Images of each class; an image with several classes counts for each of them."""
        ...

    def strata(self) -> list[NDArray[np.int64]]:
        """Rows of the images that a resample exchanges for one another."""
        ...

    def in_turn(self) -> NDArray[np.int64]:
        """All rows, so ordered that the first ones show as many classes as they can."""
        ...

    def deal(
        self, keys: Sequence[SortKey], shares: Sequence[float], *, total: int | None
    ) -> NDArray[np.int64]:
        """Split the images so that each part has every class in the same proportion.

        `shares` of the parts sum to 1; with `total` there is one part, of so many images. Images
        come in the order of their `keys`. Returns (N,) the part of each image, -1 for no part.
        """
        ...

    def deal_folds(self, keys: Sequence[SortKey], n_folds: int) -> NDArray[np.int64]:
        """Return (N,) the fold of each image: equal folds, each class in the same proportion.

        Images come in the order of their `keys`.
        """
        ...

    def columns(self) -> dict[str, NDArray[np.integer]]:
        """Columns of a predictions file."""
        ...


def numbered(columns: Collection[Any], prefix: str) -> list[str]:
    """The names `p_0`, `p_1`, ... of all columns that begin with `prefix`, in their order."""
    # the number of them is all that is read: names as they stand may be sorted as words
    n_columns = sum(str(name).startswith(prefix) for name in columns)
    return [f"{prefix}{index}" for index in range(n_columns)]
