"""Train, val and test: the splits that a source gives, and what it does not give drawn.

How images are drawn, `data.dealing` says; in the order of time, `data.time_order`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ablate.data.dealing import Parts, deal_to_sides
from ablate.data.grouping import check_sides
from ablate.data.sources._base import Item, targets_of
from ablate.data.split_shares import a_stratified, seed_and_fractions, shares_in_words
from ablate.data.time_order import split_in_time
from ablate.errors import DataError
from ablate.study.trial import SPLITS, DataSpec


def split_items(items: Sequence[Item], spec: DataSpec, *, official: str) -> tuple[Parts, str]:
    """Return train, val and test, and the rule in words.

    `official` is what to say of splits that the source gives. What the source does not give is
    drawn from its train, by the shares of `fractions`. Raises DataError where a split must be
    drawn and `split_seed` or `fractions` is missing, or where there is nothing to draw from.
    """
    # Time first, which refuses given splits; then all drawn, all given, or some of both.
    given = {item.split for item in items}
    if spec.split_by is not None:
        return split_in_time(items, spec, given)
    if given == {None}:
        return _all_drawn(items, spec, why="there are no official splits", of="")
    _check_given(given)
    parts = _official(items)
    missing = [split for split in SPLITS if not parts[split]]
    # Before anything is drawn: a group on two official sides is the source's fault, not a draw's.
    if spec.group_by is not None:
        check_sides(parts, rule=spec.group_by)
    if not missing:
        return parts, official
    # train is never missing here, `_check_given` saw to it
    if missing == ["val", "test"]:
        why = "there is no official val and no official test split"
        return _all_drawn(parts["train"], spec, why=why, of=" of the official train")
    return _one_drawn(parts, spec, drawn=missing[0], official=official)


def _official(items: Sequence[Item]) -> dict[str, tuple[Item, ...]]:
    """Split -> the images that the source puts there, perhaps none."""
    parts: dict[str, tuple[Item, ...]] = {}
    for split in SPLITS:
        parts[split] = tuple(item for item in items if item.split == split)
    return parts


def missing_remarks(parts: Parts) -> list[str]:
    """A line for each split that the source does not give, where it gives train."""
    for items in parts.values():
        if any(item.split is None for item in items):
            return []
    lines = []
    for split in ("val", "test"):
        # an item keeps the split that its source gave it, wherever it was dealt to
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
    seed, fractions = seed_and_fractions(spec, why)
    shares = [fractions.train, fractions.val, fractions.test]
    sides = deal_to_sides(items, shares, seed=seed, purpose="all")
    parts = dict(zip(SPLITS, sides, strict=True))

    # The rule stands in the report: what was drawn, by which shares and which seed.
    targets = targets_of(items)
    stratified = f"{targets.stratification}{targets.reference}"
    if spec.group_by is not None:
        stratified = "stratified as far as whole groups allow"
    return parts, f"{stratified}, {shares_in_words(shares)}{of}, split_seed {seed}"


def _one_drawn(parts: Parts, spec: DataSpec, *, drawn: str, official: str) -> tuple[Parts, str]:
    """Draw val or test from the official train; the other one stays."""
    seed, fractions = seed_and_fractions(spec, f"there is no official {drawn} split")
    # The two keep their proportion; the share of the split that is given already plays no part.
    fraction = getattr(fractions, drawn)
    share = fraction / (fractions.train + fraction)
    pool = parts["train"]
    train, rest = deal_to_sides(pool, [1 - share, share], seed=seed, purpose=drawn)

    kept = "val"
    if drawn == "val":
        kept = "test"
    drawn_how = a_stratified(pool)
    # about: the nearest that whole groups come to the share
    if spec.group_by is not None:
        drawn_how = "in whole groups, as stratified as they allow, about"
    rule = (
        f"{official} {kept}; {drawn} {drawn_how} {share:.3g} of the official train, "
        f"split_seed {seed}"
    )
    return {**parts, "train": train, drawn: rest}, rule
