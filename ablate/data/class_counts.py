"""Images of each class in each split: enough to train on, to choose by and to score, or refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ablate.data.sources._base import Collection, Item, has_several_labels, label_array
from ablate.data.splits import Parts
from ablate.errors import DataError, escaped, some
from ablate.study.trial import SPLITS

_N_NAMED = 10


def class_counts(items: Sequence[Item], n_classes: int) -> tuple[int, ...]:
    """Return the images of each class; one with several labels counts for each of them."""
    labels = label_array(items, n_classes=n_classes)
    if labels.ndim == 2:
        return tuple(labels.sum(axis=0).tolist())
    return tuple(np.bincount(labels, minlength=n_classes).tolist())


def check_classes(collection: Collection, source: str) -> None:
    """There are at least two classes, none is empty, and no id stands twice. Raises DataError."""
    names = collection.class_names
    if len(names) < 2:
        raise DataError(
            f"a classification data set must have at least 2 classes, source {source} has {len(names)}: {_listed(names) or 'none'}."
        )
    counts = class_counts(collection.items, len(names))
    empty = [name for name, n in zip(names, counts, strict=True) if n == 0]
    if empty:
        raise DataError(
            f"every class must have at least one image, source {source} has none for: {_listed(empty)}; add images or remove the class."
        )
    if len({item.image_id for item in collection.items}) < len(collection.items):
        raise DataError(f"every image must have an id of its own, source {source} uses one twice.")


def check_splits(parts: Parts, class_names: tuple[str, ...], source: str) -> None:
    """Every split has images, train of every class, and val of two at least. Raises DataError."""
    bare = [split for split in SPLITS if not parts[split]]
    if bare:
        raise DataError(
            f"every split must have at least one image, source {source} has none in: {', '.join(bare)}; add images, or draw a larger share (data.fractions)."
        )
    counts = {split: class_counts(parts[split], len(class_names)) for split in SPLITS}
    unlabelled = [split for split in SPLITS if not any(counts[split])]
    if unlabelled:
        raise DataError(
            f"every split must have at least one image with a label, source {source} has none in: {', '.join(unlabelled)}."
        )
    _check_train(counts, class_names, source)
    present = _present(counts["val"], class_names)
    if len(present) < 2 and not has_several_labels(parts["val"]):
        raise DataError(
            f"val must have images of at least 2 classes, source {source} has "
            f"{sum(counts['val'])} there, all of {escaped(present[0])}: whoever always says that "
            "class scores 1.000, and nothing can be chosen by it; add images of other classes, "
            "or draw a larger share (data.fractions)."
        )


def absent_classes(parts: Parts, class_names: tuple[str, ...]) -> list[str]:
    """Say which classes have no images in val or test, and what that means for scores."""
    lines = []
    for split in ("val", "test"):
        counts = class_counts(parts[split], len(class_names))
        absent = [name for name, n in zip(class_names, counts, strict=True) if n == 0]
        if absent:
            lines.append(
                f"warning: {split} has no images of {len(absent)} of {len(class_names)} classes "
                f"({_listed(absent)}); its scores say nothing about them, and macro F1 and AUROC "
                "are means over the other classes"
            )
        present = _present(counts, class_names)
        if len(present) == 1 and not has_several_labels(parts[split]):
            lines.append(
                f"warning: all images of {split} are of {escaped(present[0])}: whoever always says that class scores 1.000, so its scores say nothing"
            )
    return lines


def _present(counts: Sequence[int], class_names: Sequence[str]) -> list[str]:
    return [name for name, n in zip(class_names, counts, strict=True) if n > 0]


def _check_train(
    counts: dict[str, tuple[int, ...]], class_names: tuple[str, ...], source: str
) -> None:
    unseen = []
    for i, name in enumerate(class_names):
        if counts["train"][i] == 0:
            where = " and ".join(split for split in ("val", "test") if counts[split][i])
            unseen.append(f"{escaped(name)} (in {where})")
    if unseen:
        raise DataError(
            f"every class must have images in train, source {source} has none there for: {some(unseen, most=_N_NAMED)}; move some to train."
        )


def _listed(names: Sequence[str]) -> str:
    return some([escaped(name) for name in names], most=_N_NAMED)
