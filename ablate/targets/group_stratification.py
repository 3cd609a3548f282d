"""Splits that keep groups whole: no group on two sides, classes and sizes as near as that allows.

First each group goes where the shares of the classes then differ least between the parts, which is
what scikit-learn's `StratifiedGroupKFold` does; here parts may have shares of their own. Then
single groups move, or change places, as long as that brings the parts nearer to their shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.targets._base import SortKey

_MOST_STEPS = 500
_MOST_CELLS = 100_000
"""Groups x classes above which nothing is moved: among so many groups the first way is near."""
_MOST_PAIRS = 150
"""Groups up to which two of them may change places: all pairs are looked at."""
_LEAST_GAIN = 1e-9
_TRAIN = 0


def deal_groups(
    counts: NDArray[np.int64], shares: Sequence[float], keys: Sequence[SortKey]
) -> NDArray[np.int64]:
    """Return the part (G,) of each group; the first part is the one that must have every class.

    `counts` (G, C) images of each class, `shares` (P,) sum to 1. Groups of about one size come in
    the order of their `keys`, large ones first, as small ones can even out what they leave.
    """
    order = _large_first(counts, keys)
    part_of = deal_in_order(counts, shares, order)
    if counts.size <= _MOST_CELLS:
        part_of = _improved(_Balance.of(counts, shares), part_of, order)
    return part_of


def deal_group_folds(
    counts: NDArray[np.int64], n_folds: int, keys: Sequence[SortKey]
) -> NDArray[np.int64]:
    """Return the fold (G,) of each group; arguments as in `deal_groups`.

    No fold has a part of its own to play, so nothing is moved afterwards: each is train, val and
    test in turn.
    """
    return deal_in_order(counts, [1 / n_folds] * n_folds, _large_first(counts, keys))


def _large_first(counts: NDArray[np.int64], keys: Sequence[SortKey]) -> list[int]:
    # In steps of two: by exact size the order, and so the split, would be the same for every seed.
    magnitudes = np.frexp(counts.sum(axis=1))[1]
    return sorted(range(len(counts)), key=lambda group: (-magnitudes[group], keys[group]))


def deal_in_order(
    counts: NDArray[np.int64], shares: Sequence[float], order: Iterable[int]
) -> NDArray[np.int64]:
    """Deal groups one by one to where the shares of the classes then differ least (sklearn's way).

    Of equally good parts the emptier one, in proportion to its share, then the first.
    """
    portions = np.asarray(shares, dtype=np.float64)[:, None]
    wanted = portions * np.maximum(counts.sum(axis=0), 1)  # (P, C)
    filled = np.zeros_like(wanted)
    part_of = np.full(len(counts), -1, dtype=np.int64)
    for group in order:
        spreads = np.empty(len(portions))
        for part in range(len(portions)):
            filled[part] += counts[group]
            spreads[part] = _spread(filled / wanted, portions)
            filled[part] -= counts[group]
        # Sums of floats: equal spreads may differ in the last digits.
        is_best = np.isclose(spreads, spreads.min())
        sizes = filled.sum(axis=1) / portions[:, 0]
        part_of[group] = int(np.where(is_best, sizes, np.inf).argmin())
        filled[part_of[group]] += counts[group]
    return part_of


def _spread(fill: NDArray[np.float64], portions: NDArray[np.float64]) -> float:
    """Mean over the classes of the SD between parts, which weigh as their shares.

    `fill` (P, C): images of a part / those that it should have. `portions` (P, 1) sum to 1.
    """
    around_mean = fill - (portions * fill).sum(axis=0)
    return float(np.sqrt((portions * around_mean**2).sum(axis=0)).mean())


@dataclass(frozen=True)
class _Balance:
    """What parts should have, and how far they are from it."""

    counts: NDArray[np.float64]
    """(G, K) images of each class that has any, and of all classes together."""
    portions: NDArray[np.float64]
    """(P, 1)"""

    @classmethod
    def of(cls, counts: NDArray[np.int64], shares: Sequence[float]) -> _Balance:
        """Without the classes that no group has."""
        present = counts[:, counts.sum(axis=0) > 0]
        with_size = np.concatenate([present, counts.sum(axis=1, keepdims=True)], axis=1)
        portions = np.asarray(shares, dtype=np.float64)[:, None]
        return cls(with_size.astype(np.float64), portions)

    @property
    def wanted(self) -> NDArray[np.float64]:
        """(P, K) images of each part."""
        return np.asarray(self.portions * self.counts.sum(axis=0), dtype=np.float64)

    def filled(self, part_of: NDArray[np.int64]) -> NDArray[np.float64]:
        """(P, K) images that each part has."""
        filled = np.zeros((len(self.portions), self.counts.shape[1]))
        np.add.at(filled, part_of, self.counts)
        return filled

    def losses(self, filled: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., P, K) -> (...): how far parts are from what they should have.

        A class without images in train weighs more than all that follows, one without images in
        another part more than any deviation from the shares: such a class is not scored at all.
        """
        n_columns = filled.shape[-1]
        is_absent = filled[..., :-1] < 0.5
        missing = is_absent.sum(axis=-1)
        deviations = filled / self.wanted - 1
        spreads = np.sqrt((self.portions * deviations**2).sum(axis=-2))
        # The size counts as much as all classes together.
        distance = spreads[..., :-1].mean(axis=-1) + spreads[..., -1]
        weight = 10.0 * n_columns * len(self.portions)
        in_train = missing[..., _TRAIN]
        elsewhere = missing.sum(axis=-1) - in_train
        return np.asarray(weight**2 * in_train + weight * elsewhere + distance)


def _improved(
    balance: _Balance, part_of: NDArray[np.int64], order: Sequence[int]
) -> NDArray[np.int64]:
    """Move a group, or change two, each time the best of all ways, until none helps."""
    part_of = part_of.copy()
    groups = np.asarray(order, dtype=np.int64)
    for _ in range(_MOST_STEPS):
        filled = balance.filled(part_of)
        now = float(balance.losses(filled))
        changes = [_best_move(balance, part_of, filled, groups)]
        if len(groups) <= _MOST_PAIRS:
            changes.append(_best_exchange(balance, part_of, filled, groups))
        best = min(changes, key=lambda change: change.loss)
        if best.loss > now - _LEAST_GAIN:
            break
        for group, part in best.moves:
            part_of[group] = part
    return part_of


@dataclass(frozen=True)
class _Change:
    loss: float
    moves: tuple[tuple[int, int], ...] = ()
    """(group, its new part)"""


def _best_move(
    balance: _Balance,
    part_of: NDArray[np.int64],
    filled: NDArray[np.float64],
    groups: NDArray[np.int64],
) -> _Change:
    """The single group whose move helps most; the first in the order of `groups` of equal ones."""
    best = _Change(np.inf)
    for part in range(len(balance.portions)):
        movable = groups[part_of[groups] != part]
        if not len(movable):
            continue
        after = _after(balance, filled, movable, part_of[movable])
        after[:, part] += balance.counts[movable]
        losses = balance.losses(after)
        first = int(losses.argmin())
        if losses[first] < best.loss - _LEAST_GAIN:
            best = _Change(float(losses[first]), ((int(movable[first]), part),))
    return best


def _best_exchange(
    balance: _Balance,
    part_of: NDArray[np.int64],
    filled: NDArray[np.float64],
    groups: NDArray[np.int64],
) -> _Change:
    """The two groups of different parts that help most by changing places."""
    best = _Change(np.inf)
    for place, one in enumerate(groups):
        part = int(part_of[one])
        others = groups[place + 1 :]
        others = others[part_of[others] != part]
        if not len(others):
            continue
        parts = part_of[others]
        after = _after(balance, filled, others, parts)
        after[:, part] += balance.counts[others] - balance.counts[one]
        after[np.arange(len(others)), parts] += balance.counts[one]
        losses = balance.losses(after)
        first = int(losses.argmin())
        if losses[first] < best.loss - _LEAST_GAIN:
            moves = ((int(one), int(parts[first])), (int(others[first]), part))
            best = _Change(float(losses[first]), moves)
    return best


def _after(
    balance: _Balance,
    filled: NDArray[np.float64],
    groups: NDArray[np.int64],
    parts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """(n, P, K): what the parts have when each of n groups has left its own."""
    after = np.repeat(filled[None], len(groups), axis=0)
    after[np.arange(len(groups)), parts] -= balance.counts[groups]
    return after
