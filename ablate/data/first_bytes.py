"""What a file is, by its first bytes: damage must not be said of a file that is whole and something else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ablate.errors import DataError
from ablate.files import irregular_kind

FORMAT_NAMES = "JPEG, PNG, BMP, GIF, TIFF, WebP or PPM"
N_BYTES = 512
"""As many bytes as are needed to tell."""
_BOX_BRANDS: Mapping[bytes, str] = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1"), "HEIC"),
    **dict.fromkeys((b"qt  ", b"isom", b"iso2", b"mp41", b"mp42", b"M4V "), "a video"),
}
"""The brand in the `ftyp` box of an ISO media file -> its format."""
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"II\xbc\x01", "JPEG XR"),
    (8, b"CR\x02\0", "a camera's raw file"),
    (0, b"IIU\0", "a camera's raw file"),
    (0, b"IIRO", "a camera's raw file"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (4, b"ftypcrx ", "a camera's raw file"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"gimp xcf", "a GIMP file"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (128, b"DICM", "DICOM"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"DDS ", "DDS"),
    (0, b"qoif", "QOI"),
    (0, b"\0\0\1\0", "an icon (ICO)"),
    (8, b"AVI ", "a video"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"PK\3\4", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\0\5\x16\7", "a Mac's resource file"),
)
_SUPPORTED = (
    b"\xff\xd8",
    b"\x89PNG",
    b"BM",
    b"GIF8",
    b"II",
    b"MM",
    b"RIFF",
    *(b"P%d" % i for i in range(1, 7)),
)


def check_is_regular(mode: int, *, name: str) -> None:
    """Refuse whatever is not a regular file, by `st_mode`: to open a pipe would wait for ever. Raises DataError."""
    kind = irregular_kind(mode)
    if kind is not None:
        raise DataError(
            f"an image must be a file, got {kind}: {name}; remove it, or leave it out of the index."
        )


def check_is_image(head: bytes, *, name: str) -> None:
    """Refuse a file whose first `N_BYTES` bytes say that it is no image, or one of an unsupported format. Raises DataError.

    Nothing is said of a file that may be a damaged image.
    """
    if not head:
        raise DataError(
            f"an image must hold pixels, got an empty file: {name}; copy it again or remove it."
        )
    if head.startswith(b"version https://git-lfs"):
        raise DataError(
            f"an image must hold pixels, got a Git LFS pointer: {name}; fetch the images with `git lfs pull`."
        )
    if not head.strip(b"\0"):
        raise DataError(
            f"an image must hold pixels, got a file that begins with {len(head)} zero bytes: {name}; copy it again or remove it."
        )
    kind = _kind_of(head)
    if kind is not None:
        raise DataError(
            f"an image must be a {FORMAT_NAMES} file, got {kind}: {name}; save it as PNG or JPEG, or remove it."
        )
    text = _text_of(head)
    if text is not None:
        raise DataError(
            f"an image must be a {FORMAT_NAMES} file, got {text}: {name}; fetch the image again or remove it."
        )


def read_head(path: Path, *, name: str) -> bytes:
    """Return the first bytes of a regular file. Raises DataError where it is none, OSError where it cannot be read."""
    check_is_regular(path.stat().st_mode, name=name)
    with path.open("rb") as file:
        return file.read(N_BYTES)


def _kind_of(head: bytes) -> str | None:
    for start, magic, kind in _MAGIC:
        if head.startswith(magic, start):
            return kind
    return _BOX_BRANDS.get(head[8:12]) if head[4:8] == b"ftyp" else None


def _text_of(head: bytes) -> str | None:
    """What kind of text a file begins with, or None."""
    if head.startswith(_SUPPORTED):
        return None
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in start:
        return "SVG"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page"
    if not _is_text(head):
        return None
    return "XML" if start.startswith(b"<?xml") else "a text"


def _is_text(head: bytes) -> bool:
    """Whether bytes are UTF-8 without control characters; the last character may be cut off."""
    if any((byte < 32 and byte not in b"\t\n\r\f") or byte == 127 for byte in head):
        return False
    try:
        head[: N_BYTES - 4].decode("utf-8")
    except UnicodeDecodeError as error:
        return len(head) >= N_BYTES and error.start >= N_BYTES - 8
    return True
