"""From what a grid file asks for to images with labels in three splits, checked.

With facts on where they came from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablate.data.class_counts import absent_classes, check_classes, check_splits, class_counts
from ablate.data.copies import HashedItem, copies
from ablate.data.darkness import check_depth
from ablate.data.dealing import Parts
from ablate.data.each_image import for_each
from ablate.data.grouping import group_facts, group_remarks, groups_of, with_groups
from ablate.data.images import Look
from ablate.data.regroup import regroup
from ablate.data.resplits import Resplits, check_resplit, rule_of
from ablate.data.sources import reads_path, source_of
from ablate.data.sources._base import Collection, Item, NotAvailable, targets_of
from ablate.data.sources._places import portable
from ablate.data.sources._several import collect_places
from ablate.data.splits import missing_remarks, split_items
from ablate.data.subsets import subset_items
from ablate.errors import DataError
from ablate.recipe.shown_part import USUAL_VIEW, View
from ablate.study.image_shapes import shapes_of
from ablate.study.record import DataFacts, GroupFacts
from ablate.study.tasks import USUAL_TASK, task_of
from ablate.study.trial import OF_A_PATH, SPLITS, WHOLE, DataSpec


@dataclass(frozen=True)
class Split:
    """The images of one split. Nothing is in memory until it is read."""

    image_ids: tuple[str, ...]
    """Unique within the data set and stable."""
    labels: NDArray[np.int64]
    """(N,) positions in `facts.class_names`; (N, C) of 0 and 1 where images have several labels."""
    read: Callable[[int], Image.Image]
    """Position -> RGB image. Raises DataError naming the file where it is damaged."""
    groups: tuple[str, ...] | None = None
    """The group of each image; None where nothing groups them."""


@dataclass(frozen=True)
class DataSet:
    """Facts, and exactly the splits train, val and test."""

    facts: DataFacts
    splits: Mapping[str, Split]
    remarks: tuple[str, ...] = ()
    """What was left out or may surprise, in lines for the console."""
    cut_share: float = 0.0
    """Share of the pixels outside the middle squares of the images, in [0, 1), however they are
    shown; 0 where images are drawn."""
    resplits: Resplits | None = None
    """Set where each seed has a split of its own: `splits` is then the first of them."""
    whole: Split | None = None
    """All images in the order of `resplits`; None where there is one split."""


def load_data(
    spec: DataSpec, *, data_dir: Path, allow_fallback: bool, task: str = USUAL_TASK
) -> tuple[DataSpec, DataSet]:
    """Find, split and check the images that `spec` asks for; return resolved spec and data set.

    The resolved spec has the source that was really used, and no fallback.
    The fallback is used only where the requested source is not available, never where it is
    broken. Files are hashed and their headers read here; none is decoded, but one where the range
    of 16 bits is in question. Classes are regrouped before the split; the resolved spec names
    every class that a new one takes.
    Raises DataError for everything that is wrong with names, folders, labels or splits.
    """
    # Both names first: a fallback that is misspelled must not be found out a download later.
    _check_names(spec, task)
    resolved, collection = _collect(
        spec, data_dir=data_dir, allow_fallback=allow_fallback, task=task
    )
    resolved = _portable(resolved, data_dir=data_dir)
    resolved, collection = _with_classes_and_groups(resolved, collection)
    if resolved.is_resplit:
        return resolved, _resplit(resolved, collection, requested_source=spec.source, task=task)
    parts, rule = _split(resolved, collection)

    grouped: GroupFacts | None = None
    if resolved.group_by is not None:
        grouped = group_facts(parts, rule=resolved.group_by)
    # Headers before content: what is no image is refused before gigabytes are read.
    looks = _look_at_all(parts)
    images = _hashed(parts)
    loaded = _Loaded(resolved, collection, parts, rule, grouped, looks, images)

    splits: dict[str, Split] = {}
    for split in SPLITS:
        splits[split] = _as_split(parts[split], len(collection.class_names))
    facts = _facts(loaded, requested_source=spec.source)
    cut_share = _mean_cut_share(loaded.looks, USUAL_VIEW)
    return resolved, DataSet(facts, splits, _remarks(loaded, task=task), cut_share)


def _resplit(
    spec: DataSpec, collection: Collection, *, requested_source: str, task: str
) -> DataSet:
    """A data set of which each seed has a split of its own. Raises DataError."""
    check_resplit(collection.items, spec)
    # In the order of their ids: a split, which is a letter an image, then follows from the images.
    items = tuple(sorted(collection.items, key=lambda item: item.image_id))
    collection = replace(collection, items=items)
    looks = _look_at_all({WHOLE: items})
    hashed = _hashed({WHOLE: items})
    n_classes = len(collection.class_names)
    whole_fingerprint = _fingerprint(hashed, collection.class_names)
    resplits = Resplits(spec, items, n_classes, whole_fingerprint)
    resplits.check([0], collection.class_names)
    parts = resplits.parts(0)
    grouped: GroupFacts | None = None
    if spec.group_by is not None:
        grouped = group_facts(parts, rule=spec.group_by)
    # Copies count as leaks where they may stand on two sides: in two folds, or anywhere.
    images = []
    for word, image in zip(resplits.words(), hashed, strict=True):
        images.append(replace(image, split=word))
    loaded = _Loaded(spec, collection, parts, rule_of(spec), grouped, looks, images)
    facts = _facts(loaded, requested_source=requested_source)
    facts = facts.model_copy(update={"splits": resplits.facts()})
    splits: dict[str, Split] = {}
    for split in SPLITS:
        splits[split] = _as_split(parts[split], n_classes)
    return DataSet(
        facts,
        splits,
        _remarks(loaded, task=task),
        _mean_cut_share(looks, USUAL_VIEW),
        resplits=resplits,
        whole=_as_split(items, n_classes),
    )


def as_stored(data_set: DataSet) -> DataSet:
    """Return the data set as its images are kept: in one part where each seed has its own split.

    So no image is kept twice. Its fingerprint is then that of all images, whatever the split.
    """
    if data_set.resplits is None or data_set.whole is None:
        return data_set
    fingerprint = data_set.resplits.whole_fingerprint
    facts = data_set.facts.model_copy(update={"fingerprint": fingerprint})
    return replace(data_set, facts=facts, splits={WHOLE: data_set.whole})


def cropped_split(data_set: DataSet) -> str:
    """Return the part of a data set as it is kept that crops are cut from."""
    if WHOLE in data_set.splits:
        return WHOLE
    return "train"


def _with_classes_and_groups(spec: DataSpec, collection: Collection) -> tuple[DataSpec, Collection]:
    """The collection with the classes and groups that the spec asks for. Raises DataError."""
    if spec.classes is not None:
        collection, groups = regroup(collection, spec.classes, source=spec.source)
        # spelled out, so that the record tells what "the rest" was
        spec = spec.model_copy(update={"classes": groups})
    check_classes(collection, spec.source)
    if spec.group_by is not None:
        collection = with_groups(collection, spec.group_by)
    return spec, collection


def _split(spec: DataSpec, collection: Collection) -> tuple[Parts, str]:
    """Train, val and test as the spec asks for them, and the rule in words. Raises DataError."""
    parts, rule = split_items(collection.items, spec, official=collection.split_rule)
    # After the split, so that a smaller train leaves val and test as they are.
    parts, subset_rule = subset_items(parts, spec, n_classes=len(collection.class_names))
    check_splits(parts, collection.class_names, spec.source)
    return parts, rule + subset_rule


@dataclass(frozen=True)
class _Loaded:
    """What facts and remarks are made of."""

    spec: DataSpec
    """The resolved one."""
    collection: Collection
    parts: Parts
    split_rule: str
    groups: GroupFacts | None
    looks: Sequence[Look]
    images: Sequence[HashedItem]


def _facts(loaded: _Loaded, *, requested_source: str) -> DataFacts:
    collection = loaded.collection
    looks = loaded.looks
    counts: dict[str, tuple[int, ...]] = {}
    for split in SPLITS:
        counts[split] = class_counts(loaded.parts[split], len(collection.class_names))
    return DataFacts(
        source=loaded.spec.source,
        title=collection.title,
        version=collection.version,
        licence=collection.licence,
        origin=collection.origin,
        is_synthetic=collection.is_synthetic,
        # beside `source`: where a fallback stood in, the report says so
        requested_source=requested_source,
        class_names=collection.class_names,
        class_counts=counts,
        image_counts=_image_counts(loaded.parts),
        fingerprint=_fingerprint(loaded.images, collection.class_names),
        split_rule=loaded.split_rule,
        regrouped=dict(loaded.spec.classes or ()),
        n_first_frames=sum(look.has_more_frames for look in looks),
        cut_share=_mean_cut_share(looks, loaded.spec.view),
        shapes=shapes_of([look.size for look in looks if look.size is not None]),
        groups=loaded.groups,
    )


def _remarks(loaded: _Loaded, *, task: str) -> tuple[str, ...]:
    """In the order of the work: what was found, split, counted, and compared."""
    return (
        *loaded.collection.remarks,
        *missing_remarks(loaded.parts),
        *group_remarks(loaded.groups, are_all_tested=loaded.spec.folds is not None),
        *absent_classes(loaded.parts, loaded.collection.class_names, task=task_of(task)),
        *copies(loaded.images),
    )


def _mean_cut_share(looks: Sequence[Look], view: View | None) -> float:
    """Of all files; 0 where images are drawn, since those are square, and where all is seen."""
    if not looks or view not in (None, USUAL_VIEW):
        return 0.0
    return sum(look.cut_share for look in looks) / len(looks)


def _image_counts(parts: Parts) -> dict[str, int]:
    """Images of each split, where those of the classes do not sum up to them; else empty."""
    if targets_of(parts["train"]).is_exclusive:
        return {}
    counts = {}
    for split in SPLITS:
        counts[split] = len(parts[split])
    return counts


def _hashed(parts: Parts) -> list[HashedItem]:
    """Hash every image's content, a few at a time."""
    rows: list[tuple[str, Item]] = []
    tasks: list[Callable[[], str]] = []
    for split, items in parts.items():
        for item in items:
            rows.append((split, item))
            tasks.append(item.digest)
    # one call for all splits, so that one error names the damaged images of all of them
    digests = for_each(tasks)
    images: list[HashedItem] = []
    for (split, item), digest in zip(rows, digests, strict=True):
        images.append(HashedItem(split, item, digest))
    return images


def _fingerprint(images: Sequence[HashedItem], class_names: tuple[str, ...]) -> str:
    """Return 64 hex digits over every image's split, id, label and content, and the class names.

    And over the groups, where there are some. The order of the images does not matter.
    """
    lines: list[str] = []
    for image in images:
        described = [image.split, image.item.image_id, image.item.label, image.digest]
        # Stores and predictions keep the group, so other groups are another data set.
        if image.item.group is not None:
            described.append(image.item.group)
        # JSON, because an id may hold whatever else could separate the four.
        lines.append(json.dumps(described))
    # Sorted, so that neither a walk's order nor that of an index is a part of the identity.
    lines.sort()
    # The order of the classes is: it says what each label means.
    return hashlib.sha256("\n".join([json.dumps(class_names), *lines]).encode()).hexdigest()


def _look_at_all(parts: Parts) -> list[Look]:
    """Read every header: what is no image, or has no known range, is refused before decoding.

    Raises DataError.
    """
    items: list[Item] = []
    readers: list[Callable[[], Look]] = []
    for of_split in parts.values():
        for item in of_split:
            if item.look is not None:  # images that are drawn have no file
                items.append(item)
                readers.append(item.look)
    looks = for_each(readers)
    deep = []
    for item, look in zip(items, looks, strict=True):
        if look.is_deep:
            deep.append(item.read)
    # All of them at once: one dark image says nothing of the range, a data set does.
    check_depth(deep)
    return looks


def _collect(
    spec: DataSpec, *, data_dir: Path, allow_fallback: bool, task: str
) -> tuple[DataSpec, Collection]:
    try:
        collect = source_of(spec.source, field="source", task=task)
        # A source that is there and broken raises plain DataError, which no fallback hides.
        return _resolved(spec, spec.source), collect_places(collect, spec, data_dir=data_dir)
    except NotAvailable as error:
        if spec.fallback is None:
            raise
        if not allow_fallback:
            raise NotAvailable(
                f"{error} The declared fallback {spec.fallback} was not allowed."
            ) from error
    resolved = _resolved(spec, spec.fallback)
    collect = source_of(spec.fallback, field="fallback", task=task)
    return resolved, collect_places(collect, resolved, data_dir=data_dir)


def _resolved(spec: DataSpec, source: str) -> DataSpec:
    update: dict[str, object] = {"source": source, "fallback": None}
    # Where a source stood in that reads no path, the record has none.
    if not reads_path(source):
        update |= dict.fromkeys(OF_A_PATH)
    return spec.model_copy(update=update)


def _portable(spec: DataSpec, *, data_dir: Path) -> DataSpec:
    """`spec` with its paths relative to the data folder: a machine's folders are in no record."""
    if spec.path is not None and Path(spec.path).is_absolute():
        path = portable(spec.path, data_dir=data_dir, what="data.path")
        spec = spec.model_copy(update={"path": path})
    if spec.paths is not None and any(Path(path).is_absolute() for path in spec.paths):
        paths = [portable(path, data_dir=data_dir, what="data.paths") for path in spec.paths]
        spec = spec.model_copy(update={"paths": tuple(paths)})
    return spec


def _check_names(spec: DataSpec, task: str) -> None:
    source_of(spec.source, field="source", task=task)
    if spec.fallback is not None:
        source_of(spec.fallback, field="fallback", task=task)
    if reads_path(spec.source) or (spec.fallback is not None and reads_path(spec.fallback)):
        return
    for field in OF_A_PATH:
        if getattr(spec, field) is not None:
            raise DataError(
                f"data.{field} belongs to a source that reads files of your own (folder, parquet, "
                f"webdataset, or one that a package brings), got it with source {spec.source}; "
                "leave it out, or ask for one of those."
            )


def _as_split(items: tuple[Item, ...], n_classes: int) -> Split:
    return Split(
        image_ids=tuple(item.image_id for item in items),
        labels=targets_of(items, n_classes=n_classes).array,
        read=lambda position: items[position].read(),
        groups=groups_of(items),
    )
