"""Folds of equal size with every class in the same proportion: scikit-learn's `StratifiedKFold`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def equal_folds(labels: NDArray[np.int64], n_folds: int) -> NDArray[np.int64]:
    """Return the fold (N,) of each image; `labels` (N,) in the order in which images are dealt.

    Sizes of the folds, and images of a class in them, differ by one at most. The first images of a
    class go to the first folds, as scikit-learn has it without shuffling.
    """
    fold_of = np.empty(len(labels), dtype=np.int64)
    # Cards dealt class by class: where one class ends, the next one goes on with the next fold.
    dealt = np.arange(len(labels)) % n_folds
    start = 0
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        # how many cards of the class each fold has, the rows then fill the folds one by one
        n_of_fold = np.bincount(dealt[start : start + len(rows)], minlength=n_folds)
        fold_of[rows] = np.repeat(np.arange(n_folds), n_of_fold)
        start += len(rows)
    return fold_of
