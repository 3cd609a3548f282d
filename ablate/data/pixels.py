"""From a decoded image to RGB.

Turned upright, transparency over white, grey levels of more than 8 bits reduced to 8.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from ablate.errors import DataError

DEEP_LEVELS = 65_536
"""Grey levels of a 16-bit image; its values are divided by 256."""
_TURNS: Mapping[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the image upright."""
_ON_ITS_SIDE = {_TURNS[number] for number in (5, 6, 7, 8)}
"""Turns after which width is height."""
_SHORT = 3
"""EXIF's number for a 16-bit integer."""
_PLAIN_MODES = frozenset(
    {"1", "L", "P", "RGB", "RGBX", "RGBA", "RGBa", "LA", "La", "PA", "CMYK", "YCbCr", "HSV"}
)


def is_deep(image: Image.Image) -> bool:
    """Whether an opened image has 16 or 32 bits per channel and does not state their range."""
    if image.format == "PPM":  # states its range, and Pillow scales by it
        return False
    if image.mode.startswith("I"):
        return True
    # By the raw modes of its tiles: Pillow opens some 16-bit files as RGB of 8 bits.
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", []))


def upright_rgb(image: Image.Image, *, name: str) -> Image.Image:
    """Return a decoded image as RGB, turned by its EXIF tag.

    Raises DataError where its range or its colours are not known.
    """
    turn = _turn_of(image)
    if turn is not None:
        image = image.transpose(turn)
    return _as_rgb(image, name=name)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height of an opened image as `upright_rgb` would turn it."""
    width, height = image.size
    # Pillow would decode the whole of a PNG to look for a tag behind its pixels.
    if image.format == "PNG" and "exif" not in image.info:
        return width, height
    # Pillow turns a TIFF itself, and gives its size as it will be.
    if image.format != "TIFF" and _turn_of(image) in _ON_ITS_SIDE:
        return height, width
    return width, height


def forget_other_tags(image: Image.Image) -> None:
    """Before a TIFF is decoded: drop the blocks of tags that its pixels do not need.

    Pillow turns a TIFF itself, and follows these blocks for it, which may lead anywhere in a file.
    """
    if image.format == "TIFF":
        tags = image.getexif()
        for block in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop):
            if block in tags:
                del tags[block]


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    """What the orientation tag asks for.

    No other tag matters, and a tag that makes no sense turns nothing, as in viewers.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        if orientation is None:
            orientation = _orientation_in(image.info.get("exif", b""))
        return _TURNS.get(orientation)
    except Exception:  # whatever broken metadata makes a parser raise, the pixels are whole
        return None


def _orientation_in(exif: bytes) -> int | None:
    """The orientation in a block of EXIF, read tag by tag.

    Pillow stops reading at the first tag whose value lies outside the block.
    """
    # A block of EXIF is a small TIFF: byte order, offset of the tags, the tags.
    tiff = exif.removeprefix(b"Exif\0\0")
    order = "<" if tiff[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (n_tags,) = struct.unpack_from(f"{order}H", tiff, start)
    for i in range(n_tags):  # 12 bytes each, after the 2 bytes of their number
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * i)
        # Another type would be another layout of the four bytes.
        if (tag, kind) == (ExifTags.Base.Orientation, _SHORT):
            return int(value)
    return None


def _as_rgb(image: Image.Image, *, name: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _from_grey((np.asarray(image) >> 8).astype(np.uint8))
    # Pillow's "I" has 32 bits and may hold 16: only the values tell.
    if image.mode == "I":
        return _from_int32(image, name=name)
    if image.mode == "F":
        _check_float(image, name=name)
        return image.convert("RGB")
    if image.mode not in _PLAIN_MODES:
        raise DataError(
            f"an image must be grey, RGB, CMYK or of a palette, got {image.mode} colours: {name}; "
            "save it as RGB."
        )
    if image.has_transparency_data:
        # White, as in viewers: what lies under transparent pixels is often noise, or black.
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _from_int32(image: Image.Image, *, name: str) -> Image.Image:
    values = np.asarray(image)
    lowest = int(values.min())
    highest = int(values.max())
    if lowest < 0 or highest >= DEEP_LEVELS:
        raise DataError(
            f"an image of 32-bit integers must have values from 0 to {DEEP_LEVELS - 1}, "
            f"got {lowest} to {highest}: {name}; "
            "scale it to its own range, and save it with 8 bits."
        )
    return _from_grey((values >> 8).astype(np.uint8))


def _check_float(image: Image.Image, *, name: str) -> None:
    """Refuse floats that are not in 0 to 255. Raises DataError.

    No file states the range of floats: 0 to 1 is as usual, and would become black.
    """
    values = np.asarray(image)
    lowest = float(values.min())
    highest = float(values.max())
    if not (lowest >= 0 and 1 < highest <= 255):
        raise DataError(
            "an image of floats must have values from 0 to 255, and some above 1, "
            f"got {lowest:g} to {highest:g}: {name}; scale it, and save it with 8 bits."
        )


def _from_grey(grey: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(grey).convert("RGB")
