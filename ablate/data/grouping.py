"""Groups of images that belong together: photographs of one part, patient, plant or place.

A network recognises a part that it was trained on. Where the same part is scored, that passes for
knowledge of the class, so no group may stand on two sides of a split.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ablate.data.sources._base import Collection, Item
from ablate.errors import DataError, escaped, some
from ablate.study.image_rule import Column, ImageRule, found_in_path, rule_in_words
from ablate.study.record import FEWEST_TEST_GROUPS, GroupFacts
from ablate.study.trial import SPLITS

_N_NAMED = 5


def keys_of(items: Sequence[Item], rule: ImageRule, *, field: str) -> list[str]:
    """Return what `rule` finds for each image; `field` is where the rule stands.

    Raises DataError where it finds nothing for some of them, or where there is no such column.
    """
    keys: list[str] = []
    without: list[str] = []
    for item in items:
        if isinstance(rule, Column):
            key = item.cells.get(rule.column)
        else:
            key = found_in_path(rule, item.image_id)
        if not key:
            without.append(item.image_id)
        # a place holder, so that keys and items stay aligned; an error follows
        keys.append(key or "")
    if without:
        raise DataError(_nothing_found(items, without, rule, field=field))
    return keys


def _nothing_found(
    items: Sequence[Item], without: Sequence[str], rule: ImageRule, *, field: str
) -> str:
    named = some(list(map(escaped, without)), most=_N_NAMED)
    words = rule_in_words(rule)
    if isinstance(rule, Column):
        return _no_cell_text(items, without, rule, field=field)
    # Finding nothing at all is another mistake than a few odd names: the sentence says which.
    count = f"{len(without)} of {len(items)}"
    if len(without) == len(items):
        count = f"none of {len(items)}"
        verb = "finds something in"
    else:
        verb = "finds nothing in"
    return (
        f"data.{field} must find something in the path of every image, {words} {verb} {count}: "
        f"{named}; paths are relative to data.path, as printed here, and an expression may match "
        "anywhere in them."
    )


def _no_cell_text(
    items: Sequence[Item], without: Sequence[str], rule: Column, *, field: str
) -> str:
    words = rule_in_words(rule)
    # Items keep the cells that a CSV has, empty ones too: no cell means no CSV.
    if any(rule.column in item.cells for item in items):
        named = some(list(map(escaped, without)), most=_N_NAMED)
        return (
            f"data.{field} must give every image a value, {words} is empty for "
            f"{len(without)} of {len(items)} images: {named}; fill in the cells."
        )
    return (
        f"data.{field} can name a column only where data.path is a CSV (or a folder with "
        f"labels.csv, for task multilabel), got {words} and images without one; give the CSV "
        "as data.path, or use a regular expression over the paths, or {level: number}."
    )


def with_groups(collection: Collection, rule: ImageRule) -> Collection:
    """Return the collection with the group of each image.

    Raises DataError where the rule finds no group for an image, makes too few groups, or as many
    as there are images.
    """
    items = collection.items
    keys = keys_of(items, rule, field="group_by")
    _check_sizes(items, keys, rule)
    grouped = []
    for item, key in zip(items, keys, strict=True):
        grouped.append(replace(item, group=key))
    return replace(collection, items=tuple(grouped))


def _check_sizes(items: Sequence[Item], keys: Sequence[str], rule: ImageRule) -> None:
    """Check that there are enough groups to split, and fewer than images. Raises DataError."""
    # Two mistakes that a wrong part of the path makes: too few groups, and one for each image.
    sizes = Counter(keys)
    words = rule_in_words(rule)
    if len(sizes) < len(SPLITS):
        groups = []
        for key, n in sizes.items():
            groups.append(f"'{escaped(key)}' ({n} images)")
        named = some(groups, most=_N_NAMED)
        raise DataError(
            f"data.group_by must make at least {len(SPLITS)} groups, one for each of train, val "
            f"and test, {words} makes {len(sizes)} of {len(items)} images: {named}; take a part "
            "of the path that differs between groups."
        )
    # A rule that tells every image apart groups nothing, which no one asks for on purpose.
    if len(sizes) == len(items):
        raise DataError(
            f"data.group_by must put images together, {words} makes a group of its own for each "
            f"of {len(items)} images, e.g. '{escaped(keys[0])}' for "
            f"{escaped(items[0].image_id)}; take a part of the path that images of one group "
            "share, or leave group_by out where no images belong together."
        )


def check_sides(parts: Mapping[str, Sequence[Item]], *, rule: ImageRule) -> None:
    """Check that no group stands on two sides of the splits that a source gives.

    An error, not a remark: whoever names groups says that such images are alike, and every score
    would be that of images the network knows. Raises DataError with the groups.
    """
    # group -> split -> images of it there
    images_of: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for split, items in parts.items():
        for item in items:
            images_of[item.group or ""][split] += 1
    astride: list[str] = []
    for group, counts in images_of.items():
        if len(counts) > 1:
            astride.append(f"'{escaped(group)}' ({_sides_in_words(counts)})")
    if astride:
        raise DataError(
            f"no group of data.group_by may stand on two sides of a split, {len(astride)} of "
            f"{len(images_of)} ({rule_in_words(rule)}) do in the splits that the source gives: "
            f"{some(astride, most=_N_NAMED)}; move each group to one side, or leave the splits "
            "out and draw them with data.split_seed and data.fractions."
        )


def group_facts(parts: Mapping[str, Sequence[Item]], *, rule: ImageRule) -> GroupFacts:
    """Return how many groups there are on each side, and how large they are."""
    n_groups: dict[str, int] = {}
    sizes: list[int] = []
    for split in SPLITS:
        # Sizes are of groups within a split; no group stands in two.
        counts = Counter(item.group for item in parts[split])
        n_groups[split] = len(counts)
        sizes.extend(counts.values())
    return GroupFacts(
        rule=rule_in_words(rule), n_groups=n_groups, smallest=min(sizes), largest=max(sizes)
    )


def groups_of(items: Sequence[Item]) -> tuple[str, ...] | None:
    """Return the group of each image; None where nothing groups them."""
    groups: list[str] = []
    for item in items:
        # All images of a collection have a group or none has: the first one tells.
        if item.group is None:
            return None
        groups.append(item.group)
    return tuple(groups)


def group_remarks(facts: GroupFacts | None, *, are_all_tested: bool = False) -> list[str]:
    """Lines on the groups: how many on which side, and whether test has enough of them.

    `are_all_tested` where the folds of a study test every one.
    """
    if facts is None:
        return []
    sides = _sides_in_words(facts.n_groups)
    lines = [
        f"groups: {facts.n_all} by {facts.rule}, of {facts.sizes}; none on two sides ({sides}); "
        "intervals resample groups, not images"
    ]
    n_test = facts.n_groups["test"]
    if are_all_tested:
        n_test = facts.n_all
    if n_test < FEWEST_TEST_GROUPS:
        lines.append(
            f"warning: test has only {n_test} groups of images; scores are no surer than their "
            "number allows, and intervals over so few groups are rough"
        )
    return lines


def _sides_in_words(counts: Mapping[str, int]) -> str:
    """`train 8, test 2`."""
    words = []
    for split, n in counts.items():
        words.append(f"{split} {n}")
    return ", ".join(words)
