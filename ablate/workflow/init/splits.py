"""The splits of a folder's images: its own where they are sound, else drawn; and their groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ablate.data.class_counts import check_splits, class_counts
from ablate.data.dealing import Parts
from ablate.data.grouping import with_groups
from ablate.data.layouts import Trap
from ablate.data.layouts._base import LabelledImage, class_names_of, splits_given
from ablate.data.layouts.counted import counted
from ablate.data.layouts.group_proposals import GroupProposal
from ablate.data.sources._base import Collection, Item
from ablate.data.sources._class_names import positions_of
from ablate.data.sources._files import NamedFile, item_of
from ablate.data.splits import split_items
from ablate.errors import escaped, some
from ablate.in_order import places
from ablate.study.image_rule import Column, ImageRule, found_in_path
from ablate.study.trial import SPLITS, DataSpec, Fractions
from ablate.targets import Label

FRACTIONS = Fractions(train=0.6, val=0.2, test=0.2)
SPLIT_SEED = 0
_N_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """Images in train, val and test, as `plan` will deal them."""

    counts: dict[str, dict[str, int]]
    """Split -> class -> its images."""
    n_images: dict[str, int]
    n_groups: dict[str, int]
    """Split -> groups; empty where there are none."""
    n_test_groups: dict[str, int]
    """Class -> groups that its test images come from; empty where there are none."""
    rule: str
    """In words."""
    split_of: dict[str, str]
    """Image, as the grid calls it -> its split."""


def own_split_traps(
    images: Sequence[LabelledImage], keys: Sequence[str] | None, rule: str
) -> Iterator[Trap]:
    """Why the splits of a folder cannot be used; nothing where they can.

    `keys` are the images' groups, by the rule that is called so.
    """
    given = splits_given(images)
    names = ", ".join(sorted(map(str, given)))
    if None in given or "train" not in given:
        yield Trap(
            "splits without train",
            f"the folder's splits ({names}) have no train, or leave some images out: "
            "they are not used, and all three are drawn",
        )
        return
    # From here on there is a train, with which the others are compared.
    trained = _classes(images, {"train"})
    unseen = sorted(_classes(images, {"val", "test"}) - trained)
    if unseen:
        shown = some(list(map(escaped, unseen)), most=_N_NAMED)
        yield Trap(
            "classes without train images",
            f"train has no image of {counted(unseen, 'class')} ({shown}): "
            "the folder's splits are not used, and all three are drawn",
        )
    if keys is not None:
        yield from _astride(images, keys, rule)


def _classes(images: Sequence[LabelledImage], splits: set[str]) -> set[str]:
    names: set[str] = set()
    for image in images:
        if image.split in splits:
            names.update(image.labels)
    return names


def _astride(images: Sequence[LabelledImage], keys: Sequence[str], rule: str) -> Iterator[Trap]:
    sides: defaultdict[str, set[str]] = defaultdict(set)
    for image, key in zip(images, keys, strict=True):
        sides[key].add(image.split or "")
    astride = [key for key, splits in sides.items() if len(splits) > 1]
    if astride:
        shown = some(list(map(escaped, sorted(astride))), most=_N_NAMED)
        yield Trap(
            "groups across splits",
            f"{len(astride)} of {len(sides)} groups ({rule}) stand on two sides of the folder's "
            f"own splits ({shown}), which flatters every score: its splits are not used, and all "
            "three are drawn with whole groups",
        )


def missing_split_trap(images: Sequence[LabelledImage]) -> Trap | None:
    """What is drawn of a folder that has train and not all of the others."""
    given = splits_given(images)
    missing = [split for split in ("val", "test") if split not in given]
    if not missing or None in given:
        return None
    words = " and ".join(missing)
    return Trap(
        "missing splits",
        f"the folder has no {words}: part of its train is set aside as {words} "
        "(data.fractions), and no network is trained on it",
    )


def deal(
    images: Sequence[LabelledImage], ids: Sequence[str], root: Path, groups: GroupProposal | None
) -> Dealt:
    """Deal images as `ablate plan` will. Raises DataError where they cannot be dealt."""
    collection = _collection(images, ids, root)
    spec = DataSpec.model_validate(
        {"source": "folder", "split_seed": SPLIT_SEED, "fractions": FRACTIONS}
    )
    if groups is not None:
        collection = with_groups(collection, groups.rule)
        spec = spec.model_copy(update={"group_by": groups.rule})
    parts, rule = split_items(collection.items, spec, official="the folder's own")
    check_splits(parts, collection.class_names, "folder")
    return _dealt(parts, collection.class_names, rule, has_groups=groups is not None)


def _collection(images: Sequence[LabelledImage], ids: Sequence[str], root: Path) -> Collection:
    class_names = class_names_of(images)
    labels = _labels(images, class_names)
    items = []
    for image, image_id, label in zip(images, ids, labels, strict=True):
        file = NamedFile(root / image.path, image_id)
        items.append(item_of(file, label=label, split=image.split, cells=image.cells))
    return Collection(
        title=root.name,
        version="",
        licence="",
        origin="",
        is_synthetic=False,
        class_names=class_names,
        items=tuple(items),
    )


def _labels(images: Sequence[LabelledImage], class_names: Sequence[str]) -> list[Label]:
    """The class of each image; where some image has not exactly one, the classes of each."""
    position = places(class_names)
    labels = []
    is_exclusive = True
    for image in images:
        labels.append(positions_of(image.labels, position))
        is_exclusive = is_exclusive and len(image.labels) == 1
    if is_exclusive:
        return list(chain.from_iterable(labels))
    return [*labels]


def _dealt(parts: Parts, class_names: Sequence[str], rule: str, *, has_groups: bool) -> Dealt:
    counts = {}
    n_images = {}
    n_groups = {}
    n_test_groups = {}
    split_of: dict[str, str] = {}
    for split in SPLITS:
        groups = set()
        for item in parts[split]:
            split_of[item.image_id] = split
            groups.add(item.group)
        of_class = class_counts(parts[split], len(class_names))
        counts[split] = dict(zip(class_names, of_class, strict=True))
        n_images[split] = len(parts[split])
        if has_groups:
            n_groups[split] = len(groups)
    if has_groups:
        n_test_groups = _groups_of_classes(parts["test"], class_names)
    return Dealt(
        counts=counts,
        n_images=n_images,
        n_groups=n_groups,
        n_test_groups=n_test_groups,
        rule=rule,
        split_of=split_of,
    )


def _groups_of_classes(items: Sequence[Item], class_names: Sequence[str]) -> dict[str, int]:
    """Class -> groups that its images come from."""
    groups: defaultdict[str, set[str | None]] = defaultdict(set)
    for item in items:
        positions = item.label
        if isinstance(positions, int):
            positions = (positions,)
        for position in positions:
            groups[class_names[position]].add(item.group)
    return {name: len(groups[name]) for name in class_names}


def sides_in_words(counts: Mapping[str, int]) -> str:
    """`train 60, val 20, test 20`."""
    words = []
    for split in SPLITS:
        words.append(f"{split} {counts[split]}")
    return ", ".join(words)


def keys_of(
    images: Sequence[LabelledImage], ids: Sequence[str], rule: ImageRule
) -> tuple[str, ...]:
    """The group of each image by a rule that finds one for each."""
    keys = []
    for image, image_id in zip(images, ids, strict=True):
        key = None
        if isinstance(rule, Column):
            key = image.cells.get(rule.column)
        else:
            key = found_in_path(rule, image_id)
        keys.append(key or "")
    return tuple(keys)
