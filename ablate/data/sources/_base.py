"""What a source hands over: items with labels, and facts on where they came from. Splitting, checking and hashing are `data.dataset`'s work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from ablate.errors import DataError
from ablate.spec.trial import DataSpec


class NotToBeHad(DataError):
    """The source's images are not here and cannot be fetched. The only error for which a declared fallback stands in."""


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled image that has not been read yet."""

    image_id: str
    """Unique within the source and stable: a POSIX path relative to its root, or a key."""
    label: int
    """Position in `class_names`."""
    split: str | None
    """Official split, or None where the source has none."""
    read: Callable[[], Image.Image]
    digest: Callable[[], str]
    """sha256 of what determines the pixels, 64 hex digits."""


@dataclass(frozen=True, slots=True)
class Collection:
    """All items of a source. Fields as in `spec.study.DataFacts`."""

    title: str
    version: str
    licence: str
    origin: str
    is_synthetic: bool
    class_names: tuple[str, ...]
    items: tuple[Item, ...]
    split_rule: str = "official"
    """What the report says of official splits."""


class Source(Protocol):
    """Finds the images of one source, below `data_dir` or in an installed package, and fetches them where it can."""

    def __call__(self, spec: DataSpec, *, data_dir: Path) -> Collection:
        """Raises NotToBeHad where there is nothing, DataError where what is there is broken."""
        ...
