"""Stratified splits and subsets, drawn from the stream "split" by the images' ids: neither order nor number of other images moves an image much."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.data.iterative import deal_by_labels
from ablate.data.sources._base import Item, has_several_labels
from ablate.errors import DataError
from ablate.streams import stream
from ablate.study.trial import SPLITS, DataSpec, Fractions

Parts = Mapping[str, tuple[Item, ...]]


def split_items(items: Sequence[Item], spec: DataSpec, *, official: str) -> tuple[Parts, str]:
    """Return train, val and test, and the rule in words. `official` is what to say of splits that the source gives.

    What the source does not give is drawn from its train, by the shares of `fractions`.
    Raises DataError where a split must be drawn and `split_seed` or `fractions` is missing, or
    where there is nothing to draw from.
    """
    given = {item.split for item in items}
    if given == {None}:
        return _all_drawn(items, spec, why="there are no official splits", of="")
    _check_given(given)
    parts = {split: tuple(item for item in items if item.split == split) for split in SPLITS}
    missing = [split for split in SPLITS if not parts[split]]
    if not missing:
        return parts, official
    if missing == ["val", "test"]:
        why = "there is no official val and no official test split"
        return _all_drawn(parts["train"], spec, why=why, of=" of the official train")
    return _one_drawn(parts, spec, drawn=missing[0], official=official)


def _check_given(given: set[str | None]) -> None:
    """There is a train split, and no image without a split. Raises DataError."""
    found = ", ".join(sorted(name or "no split" for name in given))
    if None in given:
        raise DataError(
            f"every image must be in an official split, or none of them, got {found}; give each image its split, or none at all."
        )
    if "train" not in given:
        raise DataError(
            f"official splits must have a train split, got {found}; rename one of them, or leave "
            "out the splits and draw them with data.split_seed and data.fractions."
        )


def _all_drawn(items: Sequence[Item], spec: DataSpec, *, why: str, of: str) -> tuple[Parts, str]:
    """Draw all three splits from `items`; `of` is what the rule says they are."""
    seed, fractions = _seed_and_fractions(spec, why)
    shares = [fractions.train, fractions.val, fractions.test]
    parts = dict(zip(SPLITS, _draw(items, shares, seed=seed, purpose="all"), strict=True))
    words = ", ".join(f"{split} {share:g}" for split, share in zip(SPLITS, shares, strict=True))
    return parts, f"{_stratified(items)}, {words}{of}, split_seed {seed}"


def _one_drawn(parts: Parts, spec: DataSpec, *, drawn: str, official: str) -> tuple[Parts, str]:
    """Draw val or test from the official train; the other one stays."""
    seed, fractions = _seed_and_fractions(spec, f"there is no official {drawn} split")
    part = getattr(fractions, drawn)
    share = part / (fractions.train + part)
    pool = parts["train"]
    train, rest = _draw(pool, [1 - share, share], seed=seed, purpose=drawn)
    kept = "test" if drawn == "val" else "val"
    rule = f"{official} {kept}; {drawn} {_stratified(pool, article=True)} {share:.3g} of the official train, split_seed {seed}"
    return {**parts, "train": train, drawn: rest}, rule


def subset_items(parts: Parts, spec: DataSpec, *, n_classes: int) -> tuple[Parts, str]:
    """Cut splits down to `spec.sizes`, stratified; return them and the rule in words, empty where nothing is cut.

    A smaller size draws a subset of a larger size's images, up to rounding; not so where images have several labels. Raises DataError without
    `split_seed`, or with fewer images than classes.
    """
    wanted = (
        {}
        if spec.sizes is None
        else {
            split: n
            for split, n in spec.sizes.model_dump().items()
            if n is not None and n < len(parts[split])
        }
    )
    if not wanted:
        return parts, ""
    if spec.split_seed is None:
        raise DataError(
            "data.split_seed must be set where data.sizes draws a subset, got null; any whole number will do."
        )
    for split, n in wanted.items():
        if n < n_classes:
            raise DataError(
                f"data.sizes.{split} must be at least the number of classes, {n_classes}, got {n}."
            )
    smaller = dict(parts)
    for split, n in wanted.items():
        smaller[split] = _draw(
            parts[split],
            [n / len(parts[split])],
            seed=spec.split_seed,
            purpose=f"size of {split}",
            total=n,
        )[0]
    said = ", ".join(f"{split} {n} of {len(parts[split])}" for split, n in wanted.items())
    return (
        smaller,
        f"; {_stratified(parts['train'], article=True)} subset with split_seed {spec.split_seed}: {said}",
    )


def _seed_and_fractions(spec: DataSpec, why: str) -> tuple[int, Fractions]:
    missing = [name for name in ("split_seed", "fractions") if getattr(spec, name) is None]
    if spec.split_seed is None or spec.fractions is None:
        raise DataError(
            f"data.{' and data.'.join(missing)} must be set for source {spec.source}, because {why}."
        )
    total = spec.fractions.train + spec.fractions.val + spec.fractions.test
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise DataError(f"data.fractions must sum to 1, got {total:g}.")
    return spec.split_seed, spec.fractions


def _stratified(items: Sequence[Item], *, article: bool = False) -> str:
    if has_several_labels(items):
        return (
            "an iteratively stratified"
            if article
            else "iteratively stratified (Sechidis et al., 2011)"
        )
    return "a stratified" if article else "stratified"


def _draw(
    items: Sequence[Item], shares: list[float], *, seed: int, purpose: str, total: int | None = None
) -> list[tuple[Item, ...]]:
    """Deal the images of every class to parts of the given shares, in the order of their random keys. Parts keep the order of `items`."""
    if has_several_labels(items):
        return deal_by_labels(items, shares, seed=seed, purpose=purpose, total=total)
    members: dict[Any, list[Item]] = {}
    for item in items:
        members.setdefault(item.label, []).append(item)
    classes = sorted(members)
    counts = np.array([len(members[label]) for label in classes])
    taken = np.zeros_like(counts)
    part_of: dict[str, int] = {}
    for part, share in enumerate(shares):
        n = total if total is not None else round(share * len(items))
        is_last = part == len(shares) - 1 and total is None
        deal = counts - taken if is_last else allocate(counts, n, room=counts - taken)
        for label, start, n_class in zip(classes, taken.tolist(), deal.tolist(), strict=True):
            ordered = sorted(
                members[label],
                key=lambda item: (stream(seed, "split", purpose, item.image_id), item.image_id),
            )
            part_of.update((item.image_id, part) for item in ordered[start : start + n_class])
        taken = taken + deal
    return [
        tuple(item for item in items if part_of.get(item.image_id) == part)
        for part in range(len(shares))
    ]


def allocate(counts: NDArray[np.int64], n: int, *, room: NDArray[np.int64]) -> NDArray[np.int64]:
    """Share `n` images among classes in proportion to `counts` (C,), by largest remainder, at least one each where `n` allows, at most `room` (C,)."""
    exact = counts * (n / counts.sum())
    least = np.ones_like(counts) if n >= len(counts) else np.zeros_like(counts)
    deal: NDArray[np.int64] = np.minimum(np.maximum(np.floor(exact).astype(np.int64), least), room)
    while deal.sum() != n:
        step = 1 if deal.sum() < n else -1
        free = (deal < room) if step == 1 else (deal > np.minimum(least, room))
        if not free.any():
            break
        lack = np.where(free, (exact - deal) * step, -np.inf)
        deal[int(np.argmax(lack))] += step
    return deal
