"""Images of a folder that are (nearly) the same, before any split: copies and repeated shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablate.data.duplicates import ALIKE, signatures
from ablate.data.each_image import image_threads
from ablate.data.images import FORMATS
from ablate.data.layouts._headers import Header

MOST_PIXELS = 400_000_000
"""More are not decoded: this would take longer than a person waits."""
_MOST_IMAGES = 6000
"""More comparisons take seconds: all with all."""
_SIDE = 48
_COARSE = 16
_MOST_PAIRS = 20_000
_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Alike:
    """What was found by comparing all images with all."""

    pairs: tuple[tuple[str, str], ...]
    """Images that correlate as near-duplicates do, in order."""
    grey_share: float
    """Share of the images whose channels are equal."""
    damaged: tuple[str, ...]
    """Images that end early or cannot be decoded."""


def compare_all(root: Path, headers: Mapping[str, Header]) -> Alike | None:
    """Compare all images of a folder by small versions; None where they are too many or large."""
    if _are_too_many(headers):
        return None
    names = sorted(headers)
    with image_threads() as pool:
        outcomes = list(pool.map(partial(_small, root), names))
    damaged = []
    whole = {}
    for name, small in zip(names, outcomes, strict=True):
        if small is None:
            damaged.append(name)
        else:
            whole[name] = small
    if not whole:
        return Alike((), 0.0, tuple(damaged))
    pixels = np.stack(list(whole.values()))
    return Alike(_pairs(pixels, list(whole)), _grey_share(pixels), tuple(damaged))


def _are_too_many(headers: Mapping[str, Header]) -> bool:
    n_pixels = 0
    for header in headers.values():
        n_pixels += header.width * header.height
    return len(headers) > _MOST_IMAGES or n_pixels > MOST_PIXELS


def _small(root: Path, name: str) -> NDArray[np.uint8] | None:
    """An image squeezed to (48, 48, 3) uint8; None where it cannot be decoded."""
    try:
        with Image.open(root / name, formats=FORMATS) as image:
            # JPEG decodes at an eighth of its size for a fraction of the time.
            image.draft("RGB", (2 * _SIDE, 2 * _SIDE))
            small = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    except Exception:
        return None
    return np.asarray(small, dtype=np.uint8)


def _grey_share(pixels: NDArray[np.uint8]) -> float:
    # JPEG stores colours coarsely: a little is left of none.
    spread = np.ptp(pixels.astype(np.int16), axis=3).max(axis=(1, 2))
    return float(np.mean(spread <= 2))


def _pairs(pixels: NDArray[np.uint8], names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    coarse = signatures(pixels, size=_COARSE, is_grey=True)
    fine = signatures(pixels, size=_SIDE, is_grey=False)
    found = []
    for start in range(0, len(names), _ROWS):
        rows, columns = np.nonzero(coarse[start : start + _ROWS] @ coarse.T >= ALIKE)
        for row, column in zip((rows + start).tolist(), columns.tolist(), strict=True):
            # Each pair once; the coarse versions name candidates, the fine ones confirm them.
            if row < column and fine[row] @ fine[column] >= ALIKE:
                found.append((names[row], names[column]))
            if len(found) >= _MOST_PAIRS:
                return tuple(found)
    return tuple(found)
