"""What a source must hand over, checked: for what other packages bring, and in `ablate.testing`.

Ablate's own sources keep all this by construction.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from ablate.data.sources._base import Collection, Item
from ablate.errors import escaped, is_printable
from ablate.study.trial import SPLITS

_TEXTS = ("title", "version", "licence", "origin", "split_rule")


def mistake_in(collection: Any, *, targets: str) -> str | None:
    """Return what is wrong with a collection for a task of such `targets`; None where it is sound.

    As the end of a sentence: what must hold, and what came. `targets` is `TaskSpec.targets`.
    """
    # The first alone: what is wrong with one image usually is with all of them.
    return next(_mistakes(collection, targets), None)


def _mistakes(collection: Any, targets: str) -> Iterator[str]:
    if not isinstance(collection, Collection):
        yield f"must return an ablate Collection, returned {type(collection).__name__}"
        return
    for field in _TEXTS:
        if not _is_text(getattr(collection, field)):
            yield f"must give its {field} as printable text, gave {getattr(collection, field)!r}"
    for remark in collection.remarks:
        if not _is_text(remark):
            yield f"must give remarks as printable text, gave {remark!r}"
    names = collection.class_names
    if not isinstance(names, tuple) or not all(map(_is_text, names)):
        yield f"must give class_names as a tuple of printable texts, gave {names!r}"
        return
    if len(set(names)) < len(names):
        yield "must give each class a name of its own, some of class_names stand twice"
    if not isinstance(collection.items, tuple):
        yield f"must give items as a tuple, gave {type(collection.items).__name__}"
        return
    yield from _mistakes_in_items(collection.items, targets, n_classes=len(names))


def _mistakes_in_items(items: tuple[Any, ...], targets: str, *, n_classes: int) -> Iterator[str]:
    seen: set[str] = set()
    for item in items:
        if not isinstance(item, Item):
            yield f"must give each image as an Item, gave {type(item).__name__}"
            return
        yield from _mistakes_in_item(item, targets, n_classes=n_classes)
        if item.image_id in seen:
            yield f"must give each image an id of its own, {_named(item)} stands twice"
        seen.add(item.image_id)


def _mistakes_in_item(item: Item, targets: str, *, n_classes: int) -> Iterator[str]:
    if not _is_id(item.image_id):
        yield (
            "must give each image an id that is a relative POSIX path or a key, printable and "
            f"without '..', gave {item.image_id!r}"
        )
        return
    if not _IS_LABEL[targets](item.label):
        yield f"must label images with {_LABELS[targets]}, gave {item.label!r} for {_named(item)}"
        return
    positions = _positions(item.label)
    # An image without any label has no positions, and is no mistake.
    if positions and not 0 <= min(positions) <= max(positions) < n_classes:
        yield (
            f"must label images with positions in class_names, 0 to {n_classes - 1}, gave "
            f"{item.label!r} for {_named(item)}"
        )
    if item.split is not None and item.split not in SPLITS:
        yield (
            f"must give splits as {', '.join(SPLITS)} or None, gave {item.split!r} for "
            f"{_named(item)}"
        )


def _is_position(label: Any) -> bool:
    # Python's own int: the fingerprint is made of JSON, which has no numbers of NumPy.
    return type(label) is int


def _are_positions(label: Any) -> bool:
    if not isinstance(label, tuple) or not all(map(_is_position, label)):
        return False
    return list(label) == sorted(set(label))


_IS_LABEL = {"one_label": _is_position, "several_labels": _are_positions}
"""`TaskSpec.targets` -> whether a value labels an image."""
_LABELS = {
    "one_label": "an int for this task",
    "several_labels": "a tuple of different ints in order for this task",
}


def _positions(label: Any) -> tuple[int, ...]:
    if isinstance(label, tuple):
        return label
    return (label,)


def _named(item: Item) -> str:
    return f"'{escaped(item.image_id)}'"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and is_printable(value)


def _is_id(value: Any) -> bool:
    if not _is_text(value) or not value:
        return False
    path = PurePosixPath(value)
    return not path.is_absolute() and ".." not in path.parts
