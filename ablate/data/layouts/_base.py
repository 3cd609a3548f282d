"""What a layout hands over: images with their labels, and what was noticed on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from ablate.data.layouts._listing import Listing
from ablate.data.layouts.mask_files import Sorted

EMPTY = "nothing"
"""The class of images in which nothing is marked."""


@dataclass(frozen=True, slots=True)
class Trap:
    """Something that would make a study lie, or stop it."""

    kind: str
    """A short word for programs: `masks`, `damaged`, `groups across splits`, ..."""
    text: str
    """What was found, with numbers, and what is done about it: a line for people."""


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image of a folder."""

    path: str
    """POSIX, relative to the folder."""
    labels: tuple[str, ...]
    """Class names, sorted; one where each image has one label."""
    split: str | None = None
    """train, val or test as the folder has it."""
    cells: Mapping[str, str] = field(default_factory=dict)
    """Of the image's row in a table: the columns that are neither file, label nor split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The labels of a folder's images, as one layout reads them."""

    layout: str
    """In a few words: `class folders`, `COCO JSON`."""
    evidence: str
    """A sentence on what was read, with numbers."""
    images: tuple[LabelledImage, ...]
    has_several_labels: bool = False
    masks: Mapping[str, str] = field(default_factory=dict)
    """Image -> the file that holds its mask."""
    traps: tuple[Trap, ...] = ()
    folder_levels: tuple[int, ...] = ()
    """Levels of folders that hold splits, folds and classes, counted from 1."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Every label, sorted."""
        return class_names_of(self.images)

    @property
    def splits(self) -> Counter[str]:
        """Split -> its images; empty where the folder has none."""
        counts: Counter[str] = Counter()
        for image in self.images:
            if image.split is not None:
                counts[image.split] += 1
        return counts


def class_names_of(images: Iterable[LabelledImage]) -> tuple[str, ...]:
    """Every label of some images, sorted."""
    names: set[str] = set()
    for image in images:
        names.update(image.labels)
    return tuple(sorted(names))


def splits_given(images: Iterable[LabelledImage]) -> set[str | None]:
    """The splits that images have; None among them where an image has none."""
    given = set()
    for image in images:
        given.add(image.split)
    return given


def without_splits(images: Iterable[LabelledImage]) -> tuple[LabelledImage, ...]:
    """The images as if the folder had no splits."""
    return tuple(replace(image, split=None) for image in images)


class Layout(Protocol):
    """Reads the labels of a folder's images in one way."""

    def __call__(self, listing: Listing, sorted_images: Sorted, /) -> Found | None:
        """Return None where the folder is not of this layout."""
        ...
