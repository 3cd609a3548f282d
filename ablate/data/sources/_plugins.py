"""Sources that other packages bring, by entry points of the group `ablate.sources`.

A package is imported when its source is asked for, and not before: a broken one stops nobody who
uses another source. Whatever it raises, or hands over that no source may, is one sentence that
names the package.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from ablate.data.images import MAX_PIXELS
from ablate.data.sources._base import Collection, Item, Source
from ablate.data.sources._checked import mistake_in
from ablate.errors import AblateError, DataError, escaped, first_line
from ablate.study.trial import DataSpec

GROUP = "ablate.sources"
_DIGEST = re.compile(r"[0-9a-f]{64}")
Value = TypeVar("Value")


def plugin_names() -> list[str]:
    """Return the names of all sources that installed packages bring, sorted. Imports none."""
    return sorted(set(entry_points(group=GROUP).names))


def plugin_of(name: str, *, targets: str) -> Source | None:
    """Return the source that a package brings under `name`; None where there is none.

    `targets` is what the task labels images with. Raises DataError where two packages bring one
    of that name, or where the package cannot be imported.
    """
    points = sorted(entry_points(group=GROUP, name=name), key=_package)
    if not points:
        return None
    packages = sorted(set(map(_package, points)))
    if len(packages) > 1:
        raise DataError(
            f"a source must come from one package, {name} comes from {' and '.join(packages)}; "
            "uninstall one of them."
        )
    return _Plugin(name, packages[0], _loaded(points[0]), targets)


def _package(point: EntryPoint) -> str:
    if point.dist is None:
        return "an unnamed package"
    return point.dist.name


def _loaded(point: EntryPoint) -> Source:
    try:
        collect = point.load()
    # Importing a stranger's module may raise anything, and scripts leave by SystemExit.
    except (Exception, SystemExit) as error:
        raise DataError(
            f"source {point.name} must be importable, its package {_package(point)} is not "
            f"({_in_words(error)}); mend or uninstall it, other sources work without it."
        ) from error
    if not callable(collect):
        raise DataError(
            f"source {point.name} must be a function of a data spec and data_dir, package "
            f"{_package(point)} brings {type(collect).__name__} ({point.value}); mend or "
            "uninstall it, other sources work without it."
        )
    found: Source = collect
    return found


@dataclass(frozen=True, slots=True)
class _Plugin:
    """A source of another package; nothing but DataError leaves it."""

    name: str
    package: str
    collect: Source
    targets: str

    def __call__(self, spec: DataSpec, *, data_dir: Path) -> Collection:
        collection = self._guarded(
            "find its images", partial(self.collect, spec, data_dir=data_dir)
        )
        mistake = mistake_in(collection, targets=self.targets)
        if mistake is not None:
            raise DataError(f"{self._subject} {mistake}; tell its author.")
        return replace(collection, items=tuple(map(self._guarded_item, collection.items)))

    def _guarded_item(self, item: Item) -> Item:
        what = f"read '{escaped(item.image_id)}'"
        look = item.look
        if look is not None:
            look = partial(self._guarded, what, look)
        return replace(
            item,
            read=partial(self._image, what, item.read),
            digest=partial(self._digest, what, item.digest),
            look=look,
        )

    def _image(self, what: str, read: Callable[[], Image.Image]) -> Image.Image:
        image = self._guarded(what, read)
        is_image = isinstance(image, Image.Image) and image.mode == "RGB"
        if not is_image or not 0 < image.width * image.height <= MAX_PIXELS:
            raise DataError(
                f"{self._subject} must {what} as an RGB image of at most {MAX_PIXELS} pixels, got "
                f"{_kind_of(image)}; tell its author."
            )
        return image

    def _digest(self, what: str, digest: Callable[[], str]) -> str:
        value = self._guarded(what, digest)
        if not isinstance(value, str) or not _DIGEST.fullmatch(value):
            raise DataError(
                f"{self._subject} must {what} and give a sha256 of 64 hex digits, got {value!r}; "
                "tell its author."
            )
        return value

    def _guarded(self, what: str, call: Callable[[], Value]) -> Value:
        """What a call returns. Raises DataError for whatever it raises that is no ablate error."""
        try:
            return call()
        except AblateError:
            raise
        except Exception as error:
            raise DataError(
                f"{self._subject} must {what}, it failed ({_in_words(error)}); tell its author."
            ) from error

    @property
    def _subject(self) -> str:
        return f"source {self.name} of package {self.package}"


def _kind_of(image: Any) -> str:
    if not isinstance(image, Image.Image):
        return type(image).__name__
    return f"{image.width} x {image.height} of mode {image.mode}"


def _in_words(error: BaseException) -> str:
    """`KeyError: 'a'`; a class without a message is its own name."""
    line = first_line(error)
    if not line:
        return type(error).__name__
    return f"{type(error).__name__}: {escaped(line)}"
