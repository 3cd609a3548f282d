"""Images of each class in each split: enough to train on, to choose by and to score, or refused."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.data.dealing import Parts
from ablate.data.sources._base import Collection, Item, targets_of
from ablate.errors import DataError, escaped, some
from ablate.study.tasks import TaskSpec
from ablate.study.trial import SPLITS

_N_NAMED = 10
_CHEAP_SCORE = "always predicting that class scores 1.000"


def class_counts(items: Sequence[Item], n_classes: int) -> tuple[int, ...]:
    """Return the images of each class; one with several labels counts for each of them."""
    # n_classes, as the last classes may have no image among these items.
    return targets_of(items, n_classes=n_classes).counts()


def check_classes(collection: Collection, source: str) -> None:
    """There are at least two classes, none is empty, and no id stands twice. Raises DataError."""
    names = collection.class_names
    if len(names) < 2:
        raise DataError(
            f"a classification data set must have at least 2 classes, source {source} has "
            f"{len(names)}: {_listed(names) or 'none'}."
        )
    empty = _absent(class_counts(collection.items, len(names)), names)
    if empty:
        raise DataError(
            f"every class must have at least one image, source {source} has none for: "
            f"{_listed(empty)}; add images or remove the class."
        )
    # Splits, predictions and the fingerprint know an image by its id alone.
    ids = {item.image_id for item in collection.items}
    if len(ids) < len(collection.items):
        raise DataError(f"every image must have an id of its own, source {source} uses one twice.")


def check_splits(parts: Parts, class_names: tuple[str, ...], source: str) -> None:
    """Every split has images, train of every class, and val of two at least. Raises DataError."""
    _check_not_empty(parts, source)
    # In this order: an empty split explains all that would be said of its classes.
    counts: dict[str, tuple[int, ...]] = {}
    unlabelled: list[str] = []
    for split in SPLITS:
        counts[split] = class_counts(parts[split], len(class_names))
        if not any(counts[split]):
            unlabelled.append(split)
    # Only images with several labels can be without any.
    if unlabelled:
        raise DataError(
            f"every split must have at least one image with a label, source {source} has none "
            f"in: {', '.join(unlabelled)}."
        )
    _check_train(counts, class_names, source)
    _check_val(parts["val"], class_names, source)


def absent_classes(parts: Parts, class_names: tuple[str, ...], *, task: TaskSpec) -> list[str]:
    """Say which classes have no images in val or test, and what that means for scores."""
    lines = []
    # Train is left out: a class without train images is an error, see `check_splits`.
    for split in ("val", "test"):
        absent = _absent(class_counts(parts[split], len(class_names)), class_names)
        if absent:
            lines.append(
                f"warning: {split} has no images of {len(absent)} of {len(class_names)} classes "
                f"({_listed(absent)}); its scores say nothing about them{_consequence(task)}"
            )
        only = _only_class(parts[split], class_names)
        if only is not None:
            lines.append(
                f"warning: all images of {split} are of {escaped(only)}: {_CHEAP_SCORE}, "
                "so its scores say nothing"
            )
    return lines


def _consequence(task: TaskSpec) -> str:
    """What an absent class does to means over the classes, where a task is judged by such means."""
    means = task.class_means
    if not means:
        return ""
    return f", and {' and '.join(means)} are means over the other classes"


def _only_class(items: Sequence[Item], class_names: Sequence[str]) -> str | None:
    """The class that all items are of; None where there are more, or each class is judged alone."""
    targets = targets_of(items, n_classes=len(class_names))
    # With several labels each class has its own yes and no, so one class alone can be scored.
    if not targets.is_exclusive:
        return None
    present: list[str] = []
    for name, n in zip(class_names, targets.counts(), strict=True):
        if n > 0:
            present.append(name)
    if len(present) > 1:
        return None
    return next(iter(present), None)


def _check_not_empty(parts: Parts, source: str) -> None:
    empty = [split for split in SPLITS if not parts[split]]
    if empty:
        raise DataError(
            f"every split must have at least one image, source {source} has none in: "
            f"{', '.join(empty)}; add images, or draw a larger share (data.fractions)."
        )


def _check_val(items: Sequence[Item], class_names: tuple[str, ...], source: str) -> None:
    # Of test it is only a warning: nothing is chosen by it.
    only = _only_class(items, class_names)
    if only is not None:
        raise DataError(
            f"val must have images of at least 2 classes, source {source} has "
            f"{len(items)} there, all of {escaped(only)}: {_CHEAP_SCORE}, and nothing can "
            "be chosen by it; add images of other classes, or draw a larger share "
            "(data.fractions)."
        )


def _check_train(
    counts: dict[str, tuple[int, ...]], class_names: tuple[str, ...], source: str
) -> None:
    unseen = []
    for i, name in enumerate(class_names):
        if counts["train"][i] == 0:
            places = []
            for split in ("val", "test"):
                if counts[split][i] > 0:
                    places.append(split)
            unseen.append(f"{escaped(name)} (in {' and '.join(places)})")
    if unseen:
        raise DataError(
            f"every class must have images in train, source {source} has none there for: "
            f"{some(unseen, most=_N_NAMED)}; move some to train."
        )


def _absent(counts: Sequence[int], class_names: Sequence[str]) -> list[str]:
    """The classes without any images."""
    names = []
    for name, n in zip(class_names, counts, strict=True):
        if n == 0:
            names.append(name)
    return names


def _listed(names: Sequence[str]) -> str:
    # escaped: names of folders and cells may hold what would move a terminal's cursor
    return some(list(map(escaped, names)), most=_N_NAMED)
