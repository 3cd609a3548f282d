"""Which classes are taken for which: counts (C, C), row = label, column = predicted class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform


def most_confused(
    counts: NDArray[np.int64], class_names: Sequence[str], *, n_pairs: int
) -> list[tuple[str, str, int]]:
    """Return up to `n_pairs` of (label, predicted, errors), the most frequent first.

    Ties stand in the order of the classes.
    """
    named = []
    for label, predicted, n_errors in confused_pairs(counts, n_pairs=n_pairs):
        named.append((class_names[label], class_names[predicted], n_errors))
    return named


def confused_pairs(counts: NDArray[np.int64], *, n_pairs: int) -> list[tuple[int, int, int]]:
    """The same with positions of classes in place of names."""
    errors = counts.copy()
    np.fill_diagonal(errors, 0)
    # Stable, so that equal counts stand in the order of the classes.
    order = np.argsort(-errors, axis=None, kind="stable")[:n_pairs]
    pairs = []
    for label, predicted in zip(*np.unravel_index(order, errors.shape), strict=True):
        if errors[label, predicted] > 0:
            pairs.append((int(label), int(predicted), int(errors[label, predicted])))
    return pairs


def similarity_order(counts: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the classes in an order that puts those side by side that are confused.

    Average linkage on the share of confusions in either direction, leaves ordered so that
    neighbours differ least (Bar-Joseph et al., 2001).
    """
    # Two classes have only one order, and linkage needs two distances.
    if len(counts) < 3:
        return np.arange(len(counts), dtype=np.intp)
    # shares of the label's images, so that a class with many images is not similar to all
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # near 0 for classes that are taken for each other, 1 for those that never are
    distance = 1 - (shares + shares.T) / 2
    np.fill_diagonal(distance, 0.0)
    # checks=False: rounding leaves the two halves unequal in the last digit
    condensed = squareform(distance, checks=False)
    tree = linkage(condensed, method="average", optimal_ordering=True)
    return np.asarray(leaves_list(tree), dtype=np.intp)


def worst_part(counts: NDArray[np.int64], *, most: int) -> NDArray[np.intp]:
    """Return the positions of up to `most` classes that hold the most frequent confusions.

    In the order of the classes.
    """
    n_classes = len(counts)
    chosen: dict[int, None] = {}
    # pair by pair from the most frequent on, so that both classes of a pair are shown
    for label, predicted, _ in confused_pairs(counts, n_pairs=n_classes**2):
        # stops, and takes no smaller pair instead: the shown part is the worst without a gap
        if len({*chosen, label, predicted}) > most:
            break
        chosen |= dict.fromkeys((label, predicted))
    # a model without a mistake has no worst part
    return np.array(sorted(chosen) or range(min(most, n_classes)), dtype=np.intp)


def ordered_confusion(
    counts: NDArray[np.int64], class_names: Sequence[str]
) -> tuple[NDArray[np.int64], list[str]]:
    """The counts and the names of the classes, in the order of their similarity."""
    order = similarity_order(counts)
    # rows and columns alike, so that the diagonal stays the diagonal
    return counts[np.ix_(order, order)], [class_names[position] for position in order]


def confusion_frame(counts: NDArray[np.int64], class_names: Sequence[str]) -> pd.DataFrame:
    """One row per label, one column per predicted class, in the order of the figure."""
    ordered, names = ordered_confusion(counts, class_names)
    frame = pd.DataFrame(ordered, columns=names)
    # A class may be called "label", and two classes may bear one name.
    frame.insert(0, "label", names, allow_duplicates=True)
    return frame
