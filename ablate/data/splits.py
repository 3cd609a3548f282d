"""Stratified splits and subsets, drawn from the stream "split" by the images' ids.

So neither the order nor the number of other images moves an image much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ablate.data.grouping import check_sides, groups_of
from ablate.data.sources._base import Item, targets_of
from ablate.data.time_order import deal_in_time
from ablate.errors import DataError
from ablate.streams import stream
from ablate.study.image_rule import rule_in_words
from ablate.study.trial import SPLITS, DataSpec, Fractions
from ablate.targets import Targets
from ablate.targets.group_stratification import deal_groups

Parts = Mapping[str, tuple[Item, ...]]
_N_AT_ONCE = 10_000


def split_items(items: Sequence[Item], spec: DataSpec, *, official: str) -> tuple[Parts, str]:
    """Return train, val and test, and the rule in words.

    `official` is what to say of splits that the source gives. What the source does not give is
    drawn from its train, by the shares of `fractions`. Raises DataError where a split must be
    drawn and `split_seed` or `fractions` is missing, or where there is nothing to draw from.
    """
    given = {item.split for item in items}
    if spec.split_by is not None:
        return _in_time(items, spec, given)
    if given == {None}:
        return _all_drawn(items, spec, why="there are no official splits", of="")
    _check_given(given)
    parts: dict[str, tuple[Item, ...]] = {}
    for split in SPLITS:
        parts[split] = tuple(item for item in items if item.split == split)
    missing = [split for split in SPLITS if not parts[split]]
    if spec.group_by is not None:
        check_sides(parts, rule=spec.group_by)
    if not missing:
        return parts, official
    if missing == ["val", "test"]:
        why = "there is no official val and no official test split"
        return _all_drawn(parts["train"], spec, why=why, of=" of the official train")
    return _one_drawn(parts, spec, drawn=missing[0], official=official)


def _in_time(items: Sequence[Item], spec: DataSpec, given: set[str | None]) -> tuple[Parts, str]:
    """Cut the images in the order of `split_by`. Raises DataError beside other ways to split."""
    assert spec.split_by is not None
    if spec.group_by is not None:
        raise DataError(
            "data.split_by and data.group_by cannot both be set: a group that was photographed "
            "over months would stand on two sides, or break the order of time; leave one out."
        )
    if given != {None}:
        raise DataError(
            "data.split_by draws all splits, source "
            f"{spec.source} gives some already ({', '.join(sorted(map(str, given)))}); leave "
            "split_by out, or give the images without splits."
        )
    fractions = _fractions(spec, "data.split_by cuts by them")
    shares = [fractions.train, fractions.val, fractions.test]
    part_of = deal_in_time(items, shares, spec.split_by)
    parts = _parts(items, part_of, n_parts=len(SPLITS))
    in_words = _shares_in_words(shares)
    rule = f"in the order of {rule_in_words(spec.split_by)}, not stratified, {in_words}"
    return dict(zip(SPLITS, parts, strict=True)), rule


def _shares_in_words(shares: Sequence[float]) -> str:
    """`train 0.6, val 0.2, test 0.2`."""
    words = []
    for split, share in zip(SPLITS, shares, strict=True):
        words.append(f"{split} {share:g}")
    return ", ".join(words)


def missing_remarks(parts: Parts) -> list[str]:
    """A line for each split that the source does not give, where it gives train."""
    if any(item.split is None for items in parts.values() for item in items):
        return []
    lines = []
    for split in ("val", "test"):
        n_drawn = sum(item.split == "train" for item in parts[split])
        if n_drawn:
            lines.append(
                f"note: the source gives no {split}; {n_drawn} of its train images are set aside "
                f"as {split}, and no network is trained on them"
            )
    return lines


def _check_given(given: set[str | None]) -> None:
    """There is a train split, and no image without a split. Raises DataError."""
    names = ", ".join(sorted(name or "no split" for name in given))
    if None in given:
        raise DataError(
            f"every image must be in an official split, or none of them, got {names}; "
            "give each image its split, or none at all."
        )
    if "train" not in given:
        raise DataError(
            f"official splits must have a train split, got {names}; rename one of them, or leave "
            "out the splits and draw them with data.split_seed and data.fractions."
        )


def _all_drawn(items: Sequence[Item], spec: DataSpec, *, why: str, of: str) -> tuple[Parts, str]:
    """Draw all three splits from `items`; `of` is what the rule says they are."""
    seed, fractions = _seed_and_fractions(spec, why)
    shares = [fractions.train, fractions.val, fractions.test]
    parts = dict(zip(SPLITS, _draw_sides(items, shares, seed=seed, purpose="all"), strict=True))
    shares_in_words = _shares_in_words(shares)
    targets = targets_of(items)
    stratified = f"{targets.stratification}{targets.reference}"
    if spec.group_by is not None:
        stratified = "stratified as far as whole groups allow"
    return parts, f"{stratified}, {shares_in_words}{of}, split_seed {seed}"


def _one_drawn(parts: Parts, spec: DataSpec, *, drawn: str, official: str) -> tuple[Parts, str]:
    """Draw val or test from the official train; the other one stays."""
    seed, fractions = _seed_and_fractions(spec, f"there is no official {drawn} split")
    # The two keep their proportion; the share of the split that is given already plays no part.
    fraction = getattr(fractions, drawn)
    share = fraction / (fractions.train + fraction)
    pool = parts["train"]
    train, rest = _draw_sides(pool, [1 - share, share], seed=seed, purpose=drawn)
    kept = "val"
    if drawn == "val":
        kept = "test"
    drawn_how = _a_stratified(pool)
    if spec.group_by is not None:
        drawn_how = "in whole groups, as stratified as they allow, about"
    rule = (
        f"{official} {kept}; {drawn} {drawn_how} {share:.3g} of the official train, "
        f"split_seed {seed}"
    )
    return {**parts, "train": train, drawn: rest}, rule


def subset_items(parts: Parts, spec: DataSpec, *, n_classes: int) -> tuple[Parts, str]:
    """Cut splits down to `spec.sizes`, stratified; return them and the rule in words.

    The rule is empty where nothing is cut. A smaller size draws a subset of a larger size's
    images, up to rounding; not so where images have several labels. Raises DataError without
    `split_seed`, or with fewer images than classes.
    """
    sizes = _smaller_sizes(parts, spec)
    if not sizes:
        return parts, ""
    if spec.split_seed is None:
        raise DataError(
            "data.split_seed must be set where data.sizes draws a subset, got null; "
            "any whole number will do."
        )
    _check_sizes(sizes, n_classes)
    smaller = dict(parts)
    for split, n in sizes.items():
        pool = parts[split]
        (smaller[split],) = _draw(
            pool, [n / len(pool)], seed=spec.split_seed, purpose=f"size of {split}", total=n
        )
    drawn = ", ".join(f"{split} {n} of {len(parts[split])}" for split, n in sizes.items())
    stratified = _a_stratified(parts["train"])
    return smaller, f"; {stratified} subset with split_seed {spec.split_seed}: {drawn}"


def _smaller_sizes(parts: Parts, spec: DataSpec) -> dict[str, int]:
    """Split -> images asked for, of those splits that have more."""
    if spec.sizes is None:
        return {}
    sizes = {}
    for split, n in spec.sizes.model_dump().items():
        if n is not None and n < len(parts[split]):
            sizes[split] = n
    return sizes


def _check_sizes(sizes: Mapping[str, int], n_classes: int) -> None:
    for split, n in sizes.items():
        if n < n_classes:
            raise DataError(
                f"data.sizes.{split} must be at least the number of classes, {n_classes}, got {n}."
            )


def _seed_and_fractions(spec: DataSpec, why: str) -> tuple[int, Fractions]:
    missing = [name for name in ("split_seed", "fractions") if getattr(spec, name) is None]
    if spec.split_seed is None or spec.fractions is None:
        raise DataError(
            f"data.{' and data.'.join(missing)} must be set for source {spec.source}, "
            f"because {why}."
        )
    return spec.split_seed, _fractions(spec, why)


def _fractions(spec: DataSpec, why: str) -> Fractions:
    if spec.fractions is None:
        raise DataError(f"data.fractions must be set for source {spec.source}, because {why}.")
    total = spec.fractions.train + spec.fractions.val + spec.fractions.test
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise DataError(f"data.fractions must sum to 1, got {total:g}.")
    return spec.fractions


def _a_stratified(items: Sequence[Item]) -> str:
    """The adjective with its article: "a stratified"."""
    adjective = targets_of(items).stratification
    article = "a"
    if adjective[0] in "aeiou":
        article = "an"
    return f"{article} {adjective}"


def _draw_sides(
    items: Sequence[Item], shares: list[float], *, seed: int, purpose: str
) -> list[tuple[Item, ...]]:
    """Deal images to the sides of a split: one by one, or whole groups where there are some."""
    names = groups_of(items)
    if names is None:
        return _draw(items, shares, seed=seed, purpose=purpose)
    # np.unique sorts: groups come in the same order whatever the order of the images
    groups, group_of = np.unique(np.array(names, dtype=object), return_inverse=True)
    keys = []
    for group in groups:
        keys.append((stream(seed, "split", purpose, "group", group), str(group)))
    counts = _class_counts(targets_of(items), group_of.ravel(), n_groups=len(groups))
    part_of = deal_groups(counts, shares, keys)[group_of.ravel()].tolist()
    return _parts(items, part_of, n_parts=len(shares))


def _class_counts(
    targets: Targets, group_of: NDArray[np.integer], *, n_groups: int
) -> NDArray[np.int64]:
    """(G, C + 1) images of each class in each group, last those without a class."""
    counts = np.zeros((n_groups, targets.n_classes + 1), dtype=np.int64)
    # Some at a time: a million images of a thousand classes would not fit into memory.
    for start in range(0, len(targets), _N_AT_ONCE):
        rows = np.arange(start, min(start + _N_AT_ONCE, len(targets)))
        membership = targets.take(rows).membership()
        np.add.at(counts[:, :-1], group_of[rows], membership)
        np.add.at(counts[:, -1], group_of[rows], ~membership.any(axis=1))
    return counts


def _parts(
    items: Sequence[Item], part_of: Sequence[int], *, n_parts: int
) -> list[tuple[Item, ...]]:
    """Parts keep the order of `items`; -1 is no part, where fewer are drawn than there are."""
    parts: list[list[Item]] = [[] for _ in range(n_parts)]
    for item, part in zip(items, part_of, strict=True):
        if part >= 0:
            parts[part].append(item)
    return [tuple(part) for part in parts]


def _draw(
    items: Sequence[Item], shares: list[float], *, seed: int, purpose: str, total: int | None = None
) -> list[tuple[Item, ...]]:
    """Deal images to parts of the given shares, stratified; parts keep the order of `items`.

    With `total` there is one part, of so many images.
    """
    # The key of an image depends on nothing but the image: more images leave its place alone.
    keys = [(stream(seed, "split", purpose, item.image_id), item.image_id) for item in items]
    part_of = targets_of(items).deal(keys, shares, total=total).tolist()
    return _parts(items, part_of, n_parts=len(shares))
