"""How images are ranked for each class against the rest: one sort of each column, from which AUROC and DeLong's placement values follow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ranking:
    """Each class's images and the rest in the order of the class's probability, from low to high. All arrays but `labels` are (C, N): a row a class."""

    labels: NDArray[np.integer]
    """(N,), or (N, C) of 0 and 1 where images have several labels."""
    order: NDArray[np.intp]
    """Image at each place."""
    is_class: NDArray[np.bool_]
    """Whether it is of the row's class."""
    n_class_below: NDArray[np.float64]
    """Images of the class ranked below the place, ties counting half."""
    n_below: NDArray[np.float64]
    """Images ranked below the place, ties counting half; (1, N) where no row has a tie."""

    @cached_property
    def n_class(self) -> NDArray[np.int64]:
        """(C,) images of each class."""
        return np.asarray(self.is_class.sum(axis=1), dtype=np.int64)

    @cached_property
    def auroc(self) -> NDArray[np.float64]:
        """(C,) area under the ROC curve by Mann-Whitney: the share of (class, rest) pairs that are ranked rightly. NaN for a class absent or alone."""
        wins = np.einsum("cn,cn->c", self.n_below - self.n_class_below, self.is_class)
        with np.errstate(invalid="ignore"):
            return np.asarray(
                wins / (self.n_class * (len(self.labels) - self.n_class)), dtype=np.float64
            )

    @property
    def placements(self) -> NDArray[np.float64]:
        """(C, N) at each place: for a class's image the share of the rest below it, for one of the rest the share of the class above it.

        Both have the class's AUROC as their mean. DeLong, DeLong and Clarke-Pearson, 1988.
        """
        n_class = self.n_class[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(
                self.is_class,
                (self.n_below - self.n_class_below) / (len(self.labels) - n_class),
                1 - self.n_class_below / n_class,
            )


def rank_classes(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> Ranking:
    """Sort every column of `probabilities` (N, C) once; `labels` (N,) in [0, C), or (N, C) of 0 and 1."""
    columns = np.ascontiguousarray(probabilities.T)
    order = np.argsort(columns, axis=1)
    is_class = (
        labels[order] == np.arange(len(columns))[:, None]
        if labels.ndim == 1
        else np.take_along_axis(labels.T == 1, order, axis=1)
    )
    counted = np.zeros((len(columns), len(labels) + 1), dtype=np.int32)
    np.cumsum(is_class, axis=1, out=counted[:, 1:])
    ranked = np.take_along_axis(columns, order, axis=1)
    is_new = np.ones(ranked.shape, dtype=np.bool_)
    np.not_equal(ranked[:, 1:], ranked[:, :-1], out=is_new[:, 1:])
    if is_new.all():
        return Ranking(
            labels,
            order,
            is_class,
            (counted[:, 1:] + counted[:, :-1]) / 2,
            np.arange(len(labels), dtype=np.float64)[None] + 0.5,
        )
    start, end = _ties(is_new)
    n_class_below = (
        np.take_along_axis(counted, start, axis=1) + np.take_along_axis(counted, end, axis=1)
    ) / 2
    return Ranking(labels, order, is_class, n_class_below, (start + end) / 2)


def _ties(is_new: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(C, N) first place, and place after the last, of the equal values around each place; `is_new`: whether a place differs from the one before."""
    n = is_new.shape[1]
    places = np.arange(n, dtype=np.int64)
    start = np.maximum.accumulate(np.where(is_new, places, 0), axis=1)
    is_last = np.concatenate([is_new[:, 1:], np.ones((len(is_new), 1), dtype=np.bool_)], axis=1)
    end = np.minimum.accumulate(np.where(is_last, places + 1, n)[:, ::-1], axis=1)[:, ::-1]
    return start, end
