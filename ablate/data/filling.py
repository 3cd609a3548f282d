"""Arrays of images on disk while a store is built: a kill at any time leaves what can be taken up, a full disk is an error and no signal.

`done.txt` lists the images that are there, each with a checksum of its pixels.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Place = tuple[str, int]
"""Split and position."""


class ArrayFile:
    """An (n, side, side, 3) uint8 array in NumPy's format that is filled image by image, by several threads.

    Pixels are written with the file's own calls: writing to memory that stands for a full disk would kill the process.
    """

    def __init__(self, path: Path, *, n: int, side: int) -> None:
        self.values = _mapped(path, n=n, side=side)
        self.side = side
        self._file = path.open("r+b", buffering=0)

    def put(self, position: int, pixels: NDArray[np.uint8]) -> None:
        """Write one image, (side, side, 3). Raises OSError where the disk is full."""
        rest = memoryview(pixels.tobytes())
        at = self.values.offset + position * len(rest)
        while rest:
            n_written = os.pwrite(self._file.fileno(), rest, at)
            rest = rest[n_written:]
            at += n_written

    def finish(self) -> None:
        """Bring everything to the disk. Raises OSError."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def checksum(images: Sequence[NDArray[np.uint8]]) -> int:
    """Return the CRC-32 of what one image became, at one size or two."""
    value = 0
    for pixels in images:
        value = zlib.crc32(pixels.tobytes(), value)
    return value


def sound_places(done: Path, arrays: Mapping[str, Sequence[ArrayFile]]) -> set[Place]:
    """Images that an earlier build left, whose pixels are those that it wrote: after a power cut the list may be ahead of the pixels.

    `arrays`: split -> the arrays that its images are written to.
    """
    places = set()
    for line in done.read_text(errors="replace").splitlines() if done.is_file() else ():
        with suppress(
            ValueError, KeyError, IndexError
        ):  # the last line of a killed builder may be cut off
            name, position, written = line.split(" ")
            at = int(position)
            if checksum([array.values[at] for array in arrays[name]]) == int(written):
                places.add((name, at))
    return places


def _mapped(path: Path, *, n: int, side: int) -> Any:
    """The array that an earlier build left, where it has the right form, else an empty one."""
    with suppress(OSError, ValueError, EOFError):
        left = np.lib.format.open_memmap(path, mode="r+")
        if left.shape == (n, side, side, 3) and left.dtype == np.uint8 and not np.isfortran(left):
            return left
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n, side, side, 3))
