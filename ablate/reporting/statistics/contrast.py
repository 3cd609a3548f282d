"""A contrast: a weighted difference of arms, and the part of a study in which it can be computed.

A contrast is the mean over matched cells of a signed sum of arms: level less baseline's level for a
main effect, a difference of differences for an interaction, one arm less another for a gap. Trials
that failed leave holes; a contrast is then computed from the cells and seeds that are complete.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Contrast:
    """What is compared: every matched cell weighs the same."""

    cells: tuple[tuple[int, ...], ...]
    """Places of the arms of each matched cell, in the order of `signs`."""
    signs: tuple[int, ...]
    """+1 -1 for a pair, +1 -1 -1 +1 for an interaction, +1 for one arm alone."""

    def weights(self, n_arms: int, kept: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Return (n_arms,) weights of the arms in the mean over the cells, or over those `kept`."""
        weights = np.zeros(n_arms)
        # reshaped, because a contrast without a cell would be (0,) instead of (0, corners)
        cells = np.asarray(self.cells, dtype=np.int64).reshape(-1, len(self.signs))
        if kept is not None:
            cells = cells[kept]
        if not len(cells):
            return weights
        for column, sign in enumerate(self.signs):
            # add.at, because a merged arm may stand in several cells
            np.add.at(weights, cells[:, column], sign / len(cells))
        return weights


def gap(arm: int, reference: int) -> Contrast:
    """Return the contrast of one arm with another."""
    return Contrast(cells=((arm, reference),), signs=(1, -1))


def alone(arm: int) -> Contrast:
    """Return the score of one arm as a contrast, so that it gets its interval as all others do."""
    return Contrast(cells=((arm,),), signs=(1,))


@dataclass(frozen=True)
class CompletePart:
    """The cells and seeds of a study from which a contrast is computed, without a hole."""

    weights: NDArray[np.float64]
    """(arms,); all zero where the contrast has no complete cell."""
    seeds: NDArray[np.int64]
    """Places of the seeds; at least one, where there is a complete cell."""
    n_cells: int
    n_cells_left_out: int
    """Cells without a complete trial of one of their arms in those seeds."""

    def by_seed(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (seeds,) the value of the contrast in each seed. `scores` is (arms, seeds)."""
        # arms of weight 0 may have holes in these seeds, and 0 * NaN is NaN
        support = self.weights != 0
        return np.asarray(self.weights[support] @ scores[np.ix_(support, self.seeds)])


def complete_part(contrast: Contrast, scores: NDArray[np.float64]) -> CompletePart:
    """Choose cells and seeds for a contrast on `scores` (arms, seeds; NaN where a trial has none).

    With nothing missing it is all of both. Otherwise either the incomplete cells or the incomplete
    seeds go, whichever leaves more to learn from: the number of cells times the degrees of freedom
    of the seeds. The choice looks at what is missing, never at a score, so it favours no side.
    """
    n_arms = len(scores)
    cells = np.asarray(contrast.cells, dtype=np.int64).reshape(-1, len(contrast.signs))
    # a cell is complete in a seed where all its corners are
    is_complete = np.asarray(~np.isnan(scores)[cells].any(axis=1))  # (cells, seeds)
    chosen = _largest_full_block(is_complete)
    if chosen is None:
        empty = np.empty(0, dtype=np.int64)
        return CompletePart(np.zeros(n_arms), empty, n_cells=0, n_cells_left_out=len(cells))
    rows, seeds = chosen
    return CompletePart(
        weights=contrast.weights(n_arms, kept=rows),
        seeds=seeds,
        n_cells=int(rows.sum()),
        n_cells_left_out=int((~rows).sum()),
    )


def complete_arms(
    scores: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], NDArray[np.int64]] | None:
    """Return the arms (mask) and seeds (places) that form the largest table without a hole.

    None where no two seeds share a complete arm.
    """
    chosen = _largest_full_block(~np.isnan(scores))
    # one seed has no variance, so it says nothing of the noise
    if chosen is None or len(chosen[1]) < 2:
        return None
    return chosen


def _largest_full_block(
    is_complete: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.int64]] | None:
    """Return rows (mask) and columns (places) of a block that is True throughout, or None.

    Columns come in by how complete they are. Among equal blocks the one with more seeds is taken.
    """
    if is_complete.size and is_complete.all():
        # nothing failed, as nearly always: the search below would find the same
        return np.ones(len(is_complete), np.bool_), np.arange(is_complete.shape[1])
    # the best block is not always found this way, but all subsets of 20 seeds would be a million;
    # stable, so that equally complete seeds stand in the order of the grid
    by_completeness = np.argsort(-is_complete.sum(axis=0), kind="stable")
    best: tuple[NDArray[np.bool_], NDArray[np.int64]] | None = None
    most = 0
    for n_seeds in range(is_complete.shape[1], 0, -1):
        seeds = np.sort(by_completeness[:n_seeds])
        rows = np.asarray(is_complete[:, seeds].all(axis=1))
        # one seed has no degree of freedom, and is the last resort
        information = int(rows.sum()) * max(2 * (n_seeds - 1), 1)
        # more than, not as much as: the search comes from many seeds to few, and many win a tie
        if information > most:
            most = information
            best = (rows, seeds)
    return best
