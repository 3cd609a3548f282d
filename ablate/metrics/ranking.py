"""How images are ranked for each class against the rest.

One sort of each column, from which the area under the ROC curve and DeLong's placement values
follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ranking:
    """Each class's images and the rest, ordered by the class's probability from low to high.

    All arrays are (C, N): one row per class.
    """

    order: NDArray[np.intp]
    """Image at each place."""
    is_class: NDArray[np.bool_]
    """Whether it is of the row's class."""
    n_class_below: NDArray[np.float64]
    """Images of the class ranked below the place, ties counting half."""
    n_below: NDArray[np.float64]
    """Images ranked below the place, ties counting half; (1, N) where no row has a tie."""

    @property
    def n_images(self) -> int:
        """Images that are ranked."""
        return int(self.order.shape[1])

    @cached_property
    def n_class(self) -> NDArray[np.int64]:
        """(C,) images of each class."""
        return np.asarray(self.is_class.sum(axis=1), dtype=np.int64)

    @cached_property
    def area(self) -> NDArray[np.float64]:
        """(C,) area under the ROC curve by Mann-Whitney; NaN for a class absent or alone.

        It is the share of (class, rest) pairs that are ranked rightly.
        """
        # of each class's image, the rest ranked below it: everything below less its own kind
        wins = np.einsum("cn,cn->c", self.n_below - self.n_class_below, self.is_class)
        with np.errstate(invalid="ignore"):
            # 0 / 0 for a class without images or without a rest: the NaN that is wanted
            share = wins / (self.n_class * (self.n_images - self.n_class))
        return np.asarray(share, dtype=np.float64)

    @property
    def placements(self) -> NDArray[np.float64]:
        """(C, N) at each place: the share of the other kind of images that it is ranked rightly to.

        For a class's image that is the share of the rest below it, for one of the rest the share
        of the class above it. Both have the class's area as their mean. DeLong, DeLong and
        Clarke-Pearson, 1988.
        """
        n_class = self.n_class[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(
                self.is_class,
                (self.n_below - self.n_class_below) / (self.n_images - n_class),
                1 - self.n_class_below / n_class,
            )


def rank_classes(probabilities: NDArray[np.floating], membership: NDArray[np.integer]) -> Ranking:
    """Sort every column of `probabilities` (N, C) once.

    `membership` (N, C) of 0 and 1: whether the image has the class.
    """
    # rows of a C-contiguous array sort several times faster than its columns
    columns = np.ascontiguousarray(probabilities.T)
    n_images = columns.shape[1]
    # which of equal values comes first does not matter: ties are counted half below
    order = np.argsort(columns, axis=1)
    is_class = np.take_along_axis(membership.T == 1, order, axis=1)
    # n_before[:, k] counts the images of the class on the first k places.
    # int32: as many entries as there are predictions, and half the memory
    n_before = np.zeros((len(columns), n_images + 1), dtype=np.int32)
    np.cumsum(is_class, axis=1, out=n_before[:, 1:])
    ranked = np.take_along_axis(columns, order, axis=1)
    # the first place begins a run of equal values whatever it holds
    is_new = np.ones(ranked.shape, dtype=np.bool_)
    np.not_equal(ranked[:, 1:], ranked[:, :-1], out=is_new[:, 1:])
    if is_new.all():  # the usual case needs neither the ties nor their (C, N) arrays
        n_class_below = (n_before[:, 1:] + n_before[:, :-1]) / 2
        n_below = np.arange(n_images, dtype=np.float64)[None] + 0.5
        return Ranking(order, is_class, n_class_below, n_below)
    start, end = _ties(is_new)
    # Ties count half: the middle between the places at the two ends of the tie.
    at_start = np.take_along_axis(n_before, start, axis=1)
    at_end = np.take_along_axis(n_before, end, axis=1)
    return Ranking(order, is_class, (at_start + at_end) / 2, (start + end) / 2)


def _ties(is_new: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(C, N) first place, and place after the last, of the equal values around each place.

    `is_new`: whether a place's value differs from the one before.
    """
    n = is_new.shape[1]
    places = np.arange(n, dtype=np.int64)
    start = np.maximum.accumulate(np.where(is_new, places, 0), axis=1)
    is_last = np.concatenate([is_new[:, 1:], np.ones((len(is_new), 1), dtype=np.bool_)], axis=1)
    # The end of a tie is the nearest last place from here on: a running minimum from the right.
    from_right = np.where(is_last, places + 1, n)[:, ::-1]
    end = np.minimum.accumulate(from_right, axis=1)[:, ::-1]
    return start, end
