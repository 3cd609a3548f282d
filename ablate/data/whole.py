"""Whether a decoder filled the whole image. Some files end properly too early, and the rest of the image stays black."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile

_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""x and y of the first pixel of each pass of an interlaced PNG, and the steps."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PIECE_BYTES = 2**20


class EndsEarly(ValueError):
    """A file that is well formed, and has fewer pixels than its header says."""


def check_tiles(image: ImageFile.ImageFile) -> None:
    """Before an image is decoded: its strips or tiles, as the file lists them, must cover it. Raises EndsEarly."""
    if image.format != "TIFF":  # a frame of a GIF may be smaller than the image
        return
    places = {tile[1] for tile in image.tile if tile[1] is not None}  # channels may be apart
    area = sum((right - left) * (bottom - top) for left, top, right, bottom in places)
    if area < image.width * image.height:
        raise EndsEarly(f"its strips hold {area} of {image.width * image.height} pixels")


def check_rows(image: Image.Image, path: Path) -> None:
    """After a PNG was decoded: were all rows there? Pillow leaves rows black that the file does not have. Raises EndsEarly.

    Only a PNG whose last row is black, or that is interlaced, is read again: it is inflated and its bytes are counted.
    """
    if image.format != "PNG":
        return
    last_row = np.asarray(image.crop((0, image.height - 1, image.width, image.height)))
    if last_row.any() and not image.info.get("interlace"):
        return
    with path.open("rb") as file:
        expected, there = _counted_bytes(file)
    if there < expected:
        raise EndsEarly(f"it holds {there} of {expected} bytes of pixels")


def _counted_bytes(file: BinaryIO) -> tuple[int, int]:
    """Bytes of pixels that the header of a PNG promises, and those that are there."""
    file.seek(8)
    expected = 0
    there = 0
    inflate = zlib.decompressobj()
    for kind, data in _chunks(file):
        if kind == b"IHDR":
            expected = _promised_bytes(data)
        elif kind == b"IDAT":
            there += _inflated_bytes(inflate, data)
    return expected, there


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG up to its end, or to the first frame after the image itself."""
    while len(head := file.read(8)) == 8:
        (n_bytes,) = struct.unpack(">I", head[:4])
        if head[4:] == b"IEND":
            return
        if head[4:] in (b"IHDR", b"IDAT"):
            yield head[4:], file.read(n_bytes)
        else:
            file.seek(n_bytes, 1)
        file.seek(4, 1)  # checksum


def _promised_bytes(header: bytes) -> int:
    width, height, depth, kind, _, _, interlace = struct.unpack(">IIBBBBB", header[:13])
    n_bits = depth * _CHANNELS.get(kind, 1)
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    total = 0
    for left, top, step_x, step_y in passes:
        columns = -(-(width - left) // step_x)
        rows = -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * n_bits + 7) // 8)
    return total


def _inflated_bytes(inflate: Any, data: bytes) -> int:
    """How many bytes some more compressed ones become, held a piece at a time."""
    total = 0
    while data and not inflate.eof:
        total += len(inflate.decompress(data, _PIECE_BYTES))
        data = inflate.unconsumed_tail
    return total
