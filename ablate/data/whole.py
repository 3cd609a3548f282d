"""Whether a decoder filled the whole image.

Some files are well formed and end too early; the rest of the image stays black.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile

from ablate.data.encoded import Encoded, opened

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
"""Colour type of a PNG -> numbers per pixel."""
# Bound on what one call may inflate.
_PIECE_BYTES = 2**20


class EndsEarly(ValueError):
    """A file that is well formed, and has fewer pixels than its header says."""


def check_tiles(image: ImageFile.ImageFile) -> None:
    """Before an image is decoded: its strips or tiles, as the file lists them, must cover it.

    Raises EndsEarly.
    """
    # Of the other formats, a GIF lists a frame, which may be smaller than the image.
    if image.format != "TIFF":
        return
    # A set: where channels are stored apart, each lists the same boxes again.
    boxes = {tile[1] for tile in image.tile if tile[1] is not None}
    # Boxes are (left, top, right, bottom) in pixels, and do not overlap.
    area = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
    n_pixels = image.width * image.height
    if area < n_pixels:
        raise EndsEarly(f"its strips hold {area} of {n_pixels} pixels")


def check_rows(image: Image.Image, encoded: Encoded) -> None:
    """After a PNG was decoded: check that all rows were there. Raises EndsEarly.

    Pillow leaves rows black that the file does not have. So only a PNG whose last row is black, or
    that is interlaced, is read again: it is inflated and its bytes are counted.
    """
    if image.format != "PNG":
        return
    last_row = np.asarray(image.crop((0, image.height - 1, image.width, image.height)))
    # An interlaced PNG may have its last row from an early pass, and lack the later ones.
    if last_row.any() and not image.info.get("interlace"):
        return
    with opened(encoded) as file:
        n_expected, n_present = _counted_bytes(file)
    if n_present < n_expected:
        raise EndsEarly(f"it holds {n_present} of {n_expected} bytes of pixels")


def _counted_bytes(file: BinaryIO) -> tuple[int, int]:
    """Bytes of pixels that the header of a PNG promises, and those that are there."""
    file.seek(8)  # behind the signature
    n_expected = 0
    n_present = 0
    inflate = zlib.decompressobj()
    # The pixels are one zlib stream, cut into IDAT chunks anywhere.
    for kind, data in _chunks(file):
        if kind == b"IHDR":
            n_expected = _promised_bytes(data)
        elif kind == b"IDAT":
            n_present += _inflated_bytes(inflate, data)
    return n_expected, n_present


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG up to its end, or to the first frame after the image itself."""
    # A chunk: 4 bytes length, 4 bytes kind, the data, 4 bytes checksum.
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
    # In the order of IHDR; the two that are skipped, compression and filter, are always 0.
    width, height, depth, kind, _, _, interlace = struct.unpack(">IIBBBBB", header[:13])
    n_bits = depth * _CHANNELS.get(kind, 1)
    # A plain PNG is one pass that starts at the corner and leaves nothing out.
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    total = 0
    for left, top, step_x, step_y in passes:
        columns = -(-(width - left) // step_x)  # rounded up
        rows = -(-(height - top) // step_y)
        # of a small image some passes are empty, and have no filter bytes either
        if columns > 0 and rows > 0:
            # each row begins with a byte that names its filter
            total += rows * (1 + (columns * n_bits + 7) // 8)
    return total


def _inflated_bytes(inflate: Any, data: bytes) -> int:
    """How many bytes some more compressed ones become.

    Inflated in pieces of `_PIECE_BYTES`: a small file can promise gigabytes.
    """
    total = 0
    while data and not inflate.eof:
        total += len(inflate.decompress(data, _PIECE_BYTES))
        data = inflate.unconsumed_tail
    return total
