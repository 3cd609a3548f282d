"""Dealing images to the parts of a split or subset: stratified, by the images' ids, in groups.

Drawn from the stream "split". So neither the order nor the number of other images moves an image
much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.data.grouping import groups_of
from ablate.data.sources._base import Item, targets_of
from ablate.streams import stream
from ablate.targets import SortKey, Targets
from ablate.targets.group_stratification import deal_group_folds, deal_groups

Parts = Mapping[str, tuple[Item, ...]]
"""Split -> its images."""
# Images whose classes are counted at a time.
_N_AT_ONCE = 10_000


def deal(
    items: Sequence[Item], shares: list[float], *, seed: int, purpose: str, total: int | None = None
) -> list[tuple[Item, ...]]:
    """Deal images to parts of the given shares, stratified; parts keep the order of `items`.

    With `total` there is one part, of so many images.
    """
    keys = _image_keys(items, seed, purpose)
    part_of = targets_of(items).deal(keys, shares, total=total).tolist()
    return in_parts(items, part_of, n_parts=len(shares))


def deal_to_sides(
    items: Sequence[Item], shares: list[float], *, seed: int, purpose: str
) -> list[tuple[Item, ...]]:
    """Deal images to the sides of a split: one by one, or whole groups where there are some."""
    names = groups_of(items)
    if names is None:
        return deal(items, shares, seed=seed, purpose=purpose)
    groups = _Groups.of(items, names, seed=seed, purpose=purpose)
    # (G,) part of each group -> (N,) part of each image, that of its group
    part_of = deal_groups(groups.counts, shares, groups.keys)[groups.group_of].tolist()
    return in_parts(items, part_of, n_parts=len(shares))


def deal_to_folds(
    items: Sequence[Item], n_folds: int, *, seed: int, purpose: str
) -> NDArray[np.int64]:
    """Return (N,) the fold of each image: stratified, whole groups where there are some."""
    names = groups_of(items)
    if names is None:
        return targets_of(items).deal_folds(_image_keys(items, seed, purpose), n_folds)
    groups = _Groups.of(items, names, seed=seed, purpose=purpose)
    of_groups = deal_group_folds(groups.counts, n_folds, groups.keys)
    return np.asarray(of_groups[groups.group_of], dtype=np.int64)


@dataclass(frozen=True)
class _Groups:
    """The groups of some images, as they are dealt."""

    group_of: NDArray[np.integer]
    """(N,) number of each image's group."""
    counts: NDArray[np.int64]
    """See `_class_counts`."""
    keys: list[SortKey]
    """Of each group."""

    @classmethod
    def of(cls, items: Sequence[Item], names: Sequence[str], *, seed: int, purpose: str) -> _Groups:
        # np.unique sorts: groups come in the same order whatever the order of the images
        groups, group_of = np.unique(np.array(names, dtype=object), return_inverse=True)
        keys = []
        for group in groups:
            keys.append((stream(seed, "split", purpose, "group", group), str(group)))
        counts = _class_counts(targets_of(items), group_of, n_groups=len(groups))
        return cls(group_of, counts, keys)


def _image_keys(items: Sequence[Item], seed: int, purpose: str) -> list[SortKey]:
    # The key of an image depends on nothing but the image: more images leave its place alone.
    # `purpose` is hashed along: a split and a subset of it are independent draws.
    keys = []
    for item in items:
        keys.append((stream(seed, "split", purpose, item.image_id), item.image_id))
    return keys


def _class_counts(
    targets: Targets, group_of: NDArray[np.integer], *, n_groups: int
) -> NDArray[np.int64]:
    """(G, C + 1) images of each class in each group, last those without a class."""
    counts = np.zeros((n_groups, targets.n_classes + 1), dtype=np.int64)
    # Some at a time: a million images of a thousand classes would not fit into memory.
    for start in range(0, len(targets), _N_AT_ONCE):
        rows = np.arange(start, min(start + _N_AT_ONCE, len(targets)))
        membership = targets.take(rows).membership()
        # add.at, not +=: a group that stands several times among the rows counts each time
        np.add.at(counts[:, :-1], group_of[rows], membership)
        np.add.at(counts[:, -1], group_of[rows], ~membership.any(axis=1))
    return counts


def in_parts(
    items: Sequence[Item], part_of: Sequence[int], *, n_parts: int
) -> list[tuple[Item, ...]]:
    """Parts keep the order of `items`; -1 is no part, where fewer are drawn than there are."""
    parts: list[list[Item]] = [[] for _ in range(n_parts)]
    for item, part in zip(items, part_of, strict=True):
        if part >= 0:
            parts[part].append(item)
    return list(map(tuple, parts))
