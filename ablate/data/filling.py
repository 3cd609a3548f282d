"""Arrays of images on disk while a store is built.

A kill at any time leaves what a later build can continue, and a full disk is an error, not a signal
that kills the process. `done.txt` lists the images that are there, each with a checksum of its
pixels.
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
    """An (N, side, side, 3) uint8 array in NumPy's format, filled image by image by some threads.

    N = n images with n_tiles rows each.

    Pixels are written with the file's own calls: on a full disk, writing to mapped memory would
    kill the process (SIGBUS) instead of raising.
    """

    def __init__(self, path: Path, *, n: int, side: int, n_tiles: int = 1) -> None:
        self.values = _mapped(path, n=n * n_tiles, side=side)
        self.side = side
        self.n_tiles = n_tiles
        # Unbuffered, as it is written through its descriptor alone.
        self._file = path.open("r+b", buffering=0)

    def put(self, position: int, pixels: NDArray[np.uint8]) -> None:
        """Write one row, (side, side, 3). Raises OSError where the disk is full."""
        rest = memoryview(pixels.tobytes())
        offset = self.values.offset + position * len(rest)
        while rest:
            # pwrite takes the offset along: threads share the file without a lock.
            n_written = os.pwrite(self._file.fileno(), rest, offset)
            rest = rest[n_written:]
            offset += n_written

    def rows(self, image: int) -> range:
        """Positions of the rows of one image."""
        return range(image * self.n_tiles, (image + 1) * self.n_tiles)

    def finish(self) -> None:
        """Flush everything to the disk. Raises OSError."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; the mapped values stay readable."""
        self._file.close()


def checksum(images: Sequence[NDArray[np.uint8]]) -> int:
    """Return the CRC-32 of what one image became, at one size or two."""
    value = 0
    for pixels in images:
        value = zlib.crc32(pixels.tobytes(), value)
    return value


def sound_places(done: Path, arrays: Mapping[str, Sequence[ArrayFile]]) -> set[Place]:
    """Images that an earlier build left, and whose pixels are still those that it wrote.

    After a power cut the list may be ahead of the pixels. `arrays`: split -> the arrays that its
    images are written to.
    """
    if not done.is_file():
        return set()
    places = set()
    for line in done.read_text(errors="replace").splitlines():
        # The last line of a killed build may be cut off.
        with suppress(ValueError, KeyError, IndexError):
            split, position_word, checksum_word = line.split(" ")
            position = int(position_word)
            # Read again, not only looked up: that a file has its size says nothing of its content.
            pixels = []
            for array in arrays[split]:
                for row in array.rows(position):
                    pixels.append(array.values[row])
            if checksum(pixels) == int(checksum_word):
                places.add((split, position))
    return places


def _mapped(path: Path, *, n: int, side: int) -> Any:
    """The array that an earlier build left, where it has the right form, else an empty one."""
    shape = (n, side, side, 3)
    with suppress(OSError, ValueError, EOFError):
        earlier = np.lib.format.open_memmap(path, mode="r+")
        # An order of Fortran has the same shape, and other offsets than `put` writes to.
        is_fit = earlier.shape == shape and earlier.dtype == np.uint8
        if is_fit and not np.isfortran(earlier):
            return earlier
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
