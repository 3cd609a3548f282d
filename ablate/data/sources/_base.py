"""What a source hands over: items with labels, and facts on where they came from.

Splitting, checking and hashing are `data.dataset`'s work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from PIL import Image

from ablate.data.images import Look
from ablate.errors import DataError
from ablate.study.trial import DataSpec
from ablate.targets import Label, Targets, targets_of_labels


class NotAvailable(DataError):
    """The source's images are not here and cannot be fetched.

    The only error for which a declared fallback stands in.
    """


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled image that has not been read yet."""

    image_id: str
    """Unique within the source and stable: a POSIX path relative to its root, or a key."""
    label: Label
    """All items of a source have labels of one kind."""
    split: str | None
    """Official split, or None where the source has none."""
    # Calls, so that a source with a million images costs no memory and opens no file.
    read: Callable[[], Image.Image]
    # A call as well: hashing is done for all images at once, in threads, after the split.
    digest: Callable[[], str]
    """sha256 of what determines the pixels, 64 hex digits."""
    look: Callable[[], Look] | None = None
    """Reads the header of its file; None where it has no file of its own."""
    # Kept as text: what `group_by` and `split_by` make of it is settled after all rows are read.
    cells: Mapping[str, str] = field(default_factory=dict)
    """Of the image's row in a CSV, the columns that the spec names."""
    group: str | None = None
    """Images of one group belong on one side of a split; None where nothing groups them."""


@dataclass(frozen=True, slots=True)
class Collection:
    """All items of a source. Fields as in `spec.study.DataFacts`."""

    title: str
    version: str
    licence: str
    origin: str
    is_synthetic: bool
    # In the order of the labels: an item's label is a position here.
    class_names: tuple[str, ...]
    items: tuple[Item, ...]
    split_rule: str = "official"
    """What the report says of official splits."""
    remarks: tuple[str, ...] = ()
    """What was left out or may surprise, in lines for the console."""


class Source(Protocol):
    """Finds the images of one source, below `data_dir` or in a package; fetches what it can."""

    def __call__(self, spec: DataSpec, *, data_dir: Path) -> Collection:
        """Raises NotAvailable where there is nothing, DataError where what is there is broken."""
        ...


def targets_of(items: Sequence[Item], *, n_classes: int | None = None) -> Targets:
    """The items' labels; None for as many classes as they name."""
    return targets_of_labels([item.label for item in items], n_classes=n_classes)
