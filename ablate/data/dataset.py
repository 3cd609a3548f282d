"""From what a grid file asks for to images with labels in three splits, checked, and facts on where they came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablate.data.darkness import check_depth
from ablate.data.each_image import for_each
from ablate.data.images import Look
from ablate.data.regroup import regroup
from ablate.data.sources import source_of
from ablate.data.sources._base import Collection, Item, NotToBeHad, has_several_labels, label_array
from ablate.data.splits import Parts, split_items, subset_items
from ablate.errors import DataError
from ablate.spec.study import DataFacts
from ablate.spec.trial import SPLITS, DataSpec, Task


@dataclass(frozen=True)
class Split:
    """The images of one split. Nothing is in memory until it is read."""

    image_ids: tuple[str, ...]
    """Unique within the data set and stable."""
    labels: NDArray[np.int64]
    """(N,) positions in `facts.class_names`; (N, C) of 0 and 1 where images have several labels."""
    read: Callable[[int], Image.Image]
    """Position -> RGB image. Raises DataError naming the file where it is damaged."""


@dataclass(frozen=True)
class DataSet:
    """Facts, and exactly the splits train, val and test."""

    facts: DataFacts
    splits: Mapping[str, Split]


def load_data(spec: DataSpec, *, data_dir: Path, allow_fallback: bool, task: Task = "classification") -> tuple[DataSpec, DataSet]:
    """Find, split and check the images that `spec` asks for; return the resolved spec (the source really used, no fallback) and the data set.

    The fallback stands in only where the requested source is not to be had, never where it is broken. Files are
    hashed and their headers read here; none is decoded, but one where the range of 16 bits is in question.
    Classes are regrouped before the split; the resolved spec names every class that a new one takes.
    Raises DataError for everything that is wrong with names, folders, labels or splits.
    """
    _check_names(spec, task)
    resolved, collection = _collect(spec, data_dir=data_dir, allow_fallback=allow_fallback, task=task)
    if resolved.classes is not None:
        collection, groups = regroup(collection, resolved.classes, source=resolved.source)
        resolved = resolved.model_copy(update={"classes": groups})
    _check_classes(collection, resolved.source)
    parts, rule = split_items(collection.items, resolved, official=collection.split_rule)
    parts, subset_rule = subset_items(parts, resolved, n_classes=len(collection.class_names))
    _check_splits(parts, collection.class_names, resolved.source)
    looks = _look_at_all(parts)
    facts = DataFacts(
        source=resolved.source,
        title=collection.title,
        version=collection.version,
        licence=collection.licence,
        origin=collection.origin,
        is_synthetic=collection.is_synthetic,
        requested_source=spec.source,
        class_names=collection.class_names,
        class_counts={split: _counts(parts[split], len(collection.class_names)) for split in SPLITS},
        image_counts={split: len(parts[split]) for split in SPLITS} if has_several_labels(collection.items) else {},
        fingerprint=fingerprint(parts, collection.class_names),
        split_rule=rule + subset_rule,
        regrouped=dict(resolved.classes or ()),
        n_first_frames=sum(look.has_more_frames for look in looks),
    )
    return resolved, DataSet(facts, {split: _as_split(parts[split], len(collection.class_names)) for split in SPLITS})


def fingerprint(parts: Parts, class_names: tuple[str, ...]) -> str:
    """Return 64 hex digits over every image's split, id, label and content, and the class names; the order of the images does not matter."""
    rows = [(split, item) for split, items in parts.items() for item in items]
    digests = for_each([item.digest for _, item in rows])
    lines = sorted(json.dumps([split, item.image_id, item.label, digest]) for (split, item), digest in zip(rows, digests, strict=True))
    return hashlib.sha256("\n".join([json.dumps(class_names), *lines]).encode()).hexdigest()


def _look_at_all(parts: Parts) -> list[Look]:
    """Read every header, so that what is no image, or has no known range, is refused before anything is decoded. Raises DataError."""
    looking = [(item, item.look) for items in parts.values() for item in items if item.look is not None]
    looks = for_each([look for _, look in looking])
    check_depth([item.read for (item, _), look in zip(looking, looks, strict=True) if look.is_deep])
    return looks


def _collect(spec: DataSpec, *, data_dir: Path, allow_fallback: bool, task: Task) -> tuple[DataSpec, Collection]:
    try:
        return _resolved(spec, spec.source), source_of(spec.source, field="source", task=task)(spec, data_dir=data_dir)
    except NotToBeHad as error:
        if spec.fallback is None:
            raise
        if not allow_fallback:
            raise NotToBeHad(f"{error} The declared fallback {spec.fallback} was not allowed.") from error
    resolved = _resolved(spec, spec.fallback)
    return resolved, source_of(spec.fallback, field="fallback", task=task)(resolved, data_dir=data_dir)


def _resolved(spec: DataSpec, source: str) -> DataSpec:
    return spec.model_copy(update={"source": source, "fallback": None, "path": spec.path if source == "folder" else None})


def _check_names(spec: DataSpec, task: Task) -> None:
    source_of(spec.source, field="source", task=task)
    if spec.fallback is not None:
        source_of(spec.fallback, field="fallback", task=task)
    if spec.path is not None and "folder" not in (spec.source, spec.fallback):
        raise DataError(f"data.path belongs to source folder, got {spec.path!r} with source {spec.source}; leave it out, or ask for source folder.")


def _check_classes(collection: Collection, source: str) -> None:
    """There are at least two classes, none is empty, and no id stands twice."""
    names = collection.class_names
    if len(names) < 2:
        raise DataError(f"a classification data set must have at least 2 classes, source {source} has {len(names)}: {', '.join(names) or 'none'}.")
    counts = _counts(collection.items, len(names))
    empty = [name for name, n in zip(names, counts, strict=True) if n == 0]
    if empty:
        raise DataError(f"every class must have at least one image, source {source} has none for: {', '.join(empty)}; add images or remove the class.")
    if len({item.image_id for item in collection.items}) < len(collection.items):
        raise DataError(f"every image must have an id of its own, source {source} uses one twice.")


def _check_splits(parts: Parts, class_names: tuple[str, ...], source: str) -> None:
    """Every split has images with labels, and train has images of every class."""
    bare = [split for split in SPLITS if not parts[split]]
    if bare:
        raise DataError(f"every split must have at least one image, source {source} has none in: {', '.join(bare)}.")
    counts = {split: _counts(parts[split], len(class_names)) for split in SPLITS}
    unlabelled = [split for split in SPLITS if not any(counts[split])]
    if unlabelled:
        raise DataError(f"every split must have at least one image with a label, source {source} has none in: {', '.join(unlabelled)}.")
    unseen = [
        f"{name} (in {' and '.join(split for split in ('val', 'test') if counts[split][i])})" for i, name in enumerate(class_names) if counts["train"][i] == 0
    ]
    if unseen:
        raise DataError(f"every class must have images in train, source {source} has none there for: {', '.join(unseen)}; move some to train.")


def _counts(items: tuple[Item, ...], n_classes: int) -> tuple[int, ...]:
    labels = label_array(items, n_classes=n_classes)
    return tuple((labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=n_classes)).tolist())


def _as_split(items: tuple[Item, ...], n_classes: int) -> Split:
    return Split(
        image_ids=tuple(item.image_id for item in items),
        labels=label_array(items, n_classes=n_classes),
        read=lambda position: items[position].read(),
    )
