"""Sizes of many images, read from their headers; no pixel is decoded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from ablate.data.each_image import image_threads
from ablate.data.images import FORMATS, look_at
from ablate.errors import DataError

MOST_READ = 20_000
"""Of more images an even sample is read."""
_GREY_MODES = {"1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L"}
# A JPEG that was cut off lacks its last marker; a little may follow it.
_TAIL_BYTES = 64
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of an image file says."""

    width: int
    """In pixels, before any rotation."""
    height: int
    is_grey: bool
    """One channel, with or without transparency."""

    @property
    def aspect(self) -> float:
        """Longer side / shorter side, at least 1."""
        return max(self.width, self.height) / min(self.width, self.height)


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers of a folder's images."""

    of: Mapping[str, Header]
    """Image -> its header, for those that could be read."""
    damaged: Mapping[str, str]
    """Image -> why it cannot be read."""
    n_all: int
    """Images there are; of more than `MOST_READ` a part was read."""


def read_headers(root: Path, images: Sequence[str]) -> Headers:
    """Read the headers of images below `root`, in threads."""
    chosen = evenly(images, MOST_READ)
    with image_threads() as pool:
        outcomes = list(pool.map(partial(_outcome, root), chosen))
    headers = {}
    damaged = {}
    for name, outcome in zip(chosen, outcomes, strict=True):
        if isinstance(outcome, Header):
            headers[name] = outcome
        else:
            damaged[name] = outcome
    return Headers(headers, damaged, len(images))


def evenly(names: Sequence[str], most: int) -> list[str]:
    """Return at most `most` names, evenly spaced, in order."""
    if len(names) <= most:
        return list(names)
    chosen = []
    for i in range(most):
        chosen.append(names[i * len(names) // most])
    return chosen


def _outcome(root: Path, name: str) -> Header | str:
    path = root / name
    try:
        with Image.open(path, formats=FORMATS) as image:
            header = Header(image.width, image.height, image.mode in _GREY_MODES)
            kind = image.format
        is_whole = _has_its_end(path, kind)
    except Exception:
        # The slow way has the words: limits, pointers of Git LFS, web pages, other formats.
        return _why(path, name)
    if not is_whole and not _decodes(path):
        return f"it ends early: {name}"
    return header


def _has_its_end(path: Path, kind: str | None) -> bool:
    mark = _ENDS.get(kind or "")
    if mark is None:
        return True
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _TAIL_BYTES))
        return mark in file.read()


def _decodes(path: Path) -> bool:
    # Only of files without their usual end: more than a little may follow a sound image.
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.load()
    except Exception:
        return False
    return True


def _why(path: Path, name: str) -> str:
    try:
        look_at(path, name=name)
    except DataError as error:
        return str(error)
    return f"it cannot be read: {name}"


def quantiles(values: Iterable[float], shares: Sequence[float]) -> tuple[float, ...]:
    """Quantiles of some numbers, each one of the numbers; none where there are no numbers."""
    ordered = sorted(values)
    if not ordered:
        return ()
    chosen = []
    for share in shares:
        chosen.append(ordered[round(share * (len(ordered) - 1))])
    return tuple(chosen)
