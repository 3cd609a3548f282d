"""What a file is, by its first bytes: a file that is whole but no image must not be called damaged.

The one table of formats, for decoding single images and for walking through folders of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ablate.data.encoded import Encoded, opened
from ablate.errors import DataError
from ablate.files import irregular_kind

FORMAT_NAMES = "JPEG, PNG, BMP, GIF, TIFF, WebP or PPM"
N_BYTES = 512
"""How many first bytes are read: as many as the patterns below need, and some text."""


@dataclass(frozen=True, slots=True)
class ForeignFormat:
    """A format that cannot be read here."""

    name: str
    pattern: re.Pattern[bytes]
    """Matches from the first byte on."""
    is_picture: bool = False
    """Whether the file may well be a picture of the data set: never left out in silence."""


def _foreign(
    name: str, *signatures: bytes, start: int = 0, is_picture: bool = False
) -> ForeignFormat:
    """A format whose files have one of these signatures at position `start`."""
    # As one pattern that is anchored by `match`: bytes before `start` may be anything.
    alternatives = b"|".join(map(re.escape, signatures))
    pattern = re.compile(b".{%d}(?:%s)" % (start, alternatives), re.DOTALL)
    return ForeignFormat(name, pattern, is_picture)


_HEIC_BRANDS = (
    b"ftypheic",
    b"ftypheix",
    b"ftypheim",
    b"ftypheis",
    b"ftyphevc",
    b"ftyphevx",
    b"ftypmif1",
    b"ftypmsf1",
)
_VIDEO_BRANDS = (b"ftypqt  ", b"ftypisom", b"ftypiso2", b"ftypmp41", b"ftypmp42", b"ftypM4V ")
_FOREIGN = (
    # ISO media files: a length of 4 bytes, then the `ftyp` box with the brand.
    _foreign("AVIF", b"ftypavif", b"ftypavis", start=4, is_picture=True),
    _foreign("HEIC", *_HEIC_BRANDS, start=4, is_picture=True),
    _foreign("a video", *_VIDEO_BRANDS, start=4),
    _foreign("JPEG 2000", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", is_picture=True),
    _foreign("JPEG XL", b"\0\0\0\x0cJXL ", b"\xff\x0a", is_picture=True),
    _foreign("JPEG XR", b"II\xbc\x01"),
    # Raw files of Canon and others are TIFF files by their first bytes: these come before TIFF.
    _foreign("a camera's raw file", b"CR\x02\0", start=8),
    _foreign("a camera's raw file", b"IIU\0", b"IIRO", b"FUJIFILMCCD-RAW"),
    _foreign("a camera's raw file", b"ftypcrx ", start=4),
    _foreign("a Photoshop file", b"8BPS", is_picture=True),
    _foreign("a GIMP file", b"gimp xcf"),
    _foreign("PDF", b"%PDF"),
    _foreign("PostScript", b"%!PS"),
    _foreign("DICOM", b"DICM", start=128, is_picture=True),
    _foreign("FITS", b"SIMPLE  ="),
    _foreign("OpenEXR", b"\x76\x2f\x31\x01"),
    _foreign("Radiance HDR", b"#?RADIANCE"),
    _foreign("DDS", b"DDS "),
    _foreign("QOI", b"qoif"),
    _foreign("an icon (ICO)", b"\0\0\1\0"),
    _foreign("a video", b"AVI ", start=8),
    _foreign("a video", b"\x1aE\xdf\xa3"),
    _foreign("a NumPy array", b"\x93NUMPY"),
    _foreign("HDF5", b"\x89HDF"),
    _foreign("a ZIP archive", b"PK\3\4"),
    _foreign("a gzip archive", b"\x1f\x8b"),
    _foreign("a Mac's resource file", b"\0\5\x16\7"),
)
_READABLE = (
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("GIF", re.compile(rb"GIF8[79]a")),
    # A text may begin with BM too: zeros follow in an image.
    ("BMP", re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL)),
    # little and big endian; + is BigTIFF
    ("TIFF", re.compile(rb"II[*+]\0|MM\0[*+]")),
    ("WebP", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    # A text may begin with P5 too: a comment or the size follows in an image.
    ("PPM", re.compile(rb"P[1-6]\s+(#|\d+\s+\d+\s)")),
)
# Looser than _READABLE: what begins so may be a damaged image, and is left to the decoder.
_MAYBE_IMAGE = (
    b"\xff\xd8",
    b"\x89PNG",
    b"BM",
    b"GIF8",
    b"II",
    b"MM",
    b"RIFF",
    b"P1",
    b"P2",
    b"P3",
    b"P4",
    b"P5",
    b"P6",
)


def readable_kind(head: bytes) -> str | None:
    """Return the format of a file's first bytes, one that can be read, or None."""
    for name, pattern in _READABLE:
        if pattern.match(head):
            return name
    return None


def foreign_format(head: bytes) -> ForeignFormat | None:
    """Return the format of a file's first bytes, one that cannot be read here, or None."""
    for foreign in _FOREIGN:
        if foreign.pattern.match(head):
            return foreign
    return None


def check_is_regular(mode: int, *, name: str) -> None:
    """Refuse whatever is not a regular file, by `st_mode`. Raises DataError.

    Opening a pipe would wait for ever.
    """
    kind = irregular_kind(mode)
    if kind is not None:
        raise DataError(
            f"an image must be a file, got {kind}: {name}; remove it, or leave it out of the index."
        )


def check_is_image(head: bytes, *, name: str) -> None:
    """Refuse a file by its first `N_BYTES` bytes: no image, or one of an unsupported format.

    Lets pass what may be a damaged image. Raises DataError.
    """
    _check_has_pixels(head, name=name)
    foreign = foreign_format(head)
    if foreign is not None:
        raise DataError(
            f"an image must be a {FORMAT_NAMES} file, got {foreign.name}: {name}; "
            "save it as PNG or JPEG, or remove it."
        )
    text = _text_kind(head)
    if text is not None:
        raise DataError(
            f"an image must be a {FORMAT_NAMES} file, got {text}: {name}; "
            "fetch the image again or remove it."
        )


def _check_has_pixels(head: bytes, *, name: str) -> None:
    """Refuse what stands in an image's place without being one: nothing, a pointer, zeros."""
    if not head:
        raise DataError(
            f"an image must hold pixels, got an empty file: {name}; copy it again or remove it."
        )
    # Named first: it is a text as well, and the way out is another one.
    if head.startswith(b"version https://git-lfs"):
        raise DataError(
            f"an image must hold pixels, got a Git LFS pointer: {name}; "
            "fetch the images with `git lfs pull`."
        )
    # What a download that was allocated and broken off leaves.
    if not head.strip(b"\0"):
        raise DataError(
            f"an image must hold pixels, got a file that begins with {len(head)} zero bytes: "
            f"{name}; copy it again or remove it."
        )


def read_head(encoded: Encoded, *, name: str) -> bytes:
    """Return the first bytes of an image.

    Raises DataError where it is a path of no regular file, OSError where it cannot be read.
    """
    if isinstance(encoded, Path):
        check_is_regular(encoded.stat().st_mode, name=name)
    with opened(encoded) as file:
        return file.read(N_BYTES)


def _text_kind(head: bytes) -> str | None:
    """What kind of text a file begins with, or None."""
    if head.startswith(_MAYBE_IMAGE):
        return None
    # without the mark that some editors put before UTF-8
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in start:
        return "SVG"
    # What a failed download leaves: the server's error page under the image's name.
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page"
    if not _is_text(head):
        return None
    return "XML" if start.startswith(b"<?xml") else "a text"


def _is_text(head: bytes) -> bool:
    """Whether bytes are UTF-8 without control characters; the last character may be cut off."""
    for byte in head:
        # 127 is DEL; form feeds stand in old texts
        is_control = byte < 32 or byte == 127
        if is_control and byte not in b"\t\n\r\f":
            return False
    try:
        # without the last bytes, which may be the beginning of a character
        head[: N_BYTES - 4].decode("utf-8")
    except UnicodeDecodeError as error:
        return len(head) >= N_BYTES and error.start >= N_BYTES - 8
    return True
