"""What kind of file lies there: by its name, and by its first bytes where the name says nothing."""

from __future__ import annotations

import re

from ablate.data.images import SUFFIXES

MORE_SUFFIXES = frozenset(
    {".jfif", ".jif", ".jpe", ".pjp", ".pjpeg", ".apng", ".dib", ".pbm", ".pnm", ""}
)
"""Rarer names of the formats that can be read, in lower case, and none at all."""
NAMED_IMAGES = SUFFIXES | MORE_SUFFIXES - {""}
"""Suffixes that are taken for images without a look at their bytes."""
_PHOTOGRAPHS = {".heic", ".heif", ".avif", ".avifs", ".jp2", ".j2k", ".jpf", ".jpx", ".jxl", ".jxr"}
_DRAWINGS = {".psd", ".svg", ".tga", ".exr", ".hdr"}
_MEDICAL = {".dcm", ".dicom"}
_RAW = {".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"}
UNREADABLE_SUFFIXES = frozenset(_PHOTOGRAPHS | _DRAWINGS | _MEDICAL | _RAW)
"""Images of kinds that cannot be read here."""
_READABLE = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL), "BMP"),  # a text may begin with BM: zeros follow
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "WebP"),
    (re.compile(rb"P[1-6]\s+(#|\d+\s+\d+\s)"), "PPM"),
)
_UNREADABLE = (
    (re.compile(rb".{4}ftyp(heic|heix|hevc|heim|heis|mif1|msf1)", re.DOTALL), "HEIC"),
    (re.compile(rb".{4}ftyp(avif|avis)", re.DOTALL), "AVIF"),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "JPEG 2000"),
    (re.compile(rb"\0\0\0\x0cJXL |\xff\x0a"), "JPEG XL"),
    (re.compile(rb"8BPS"), "Photoshop"),
    (re.compile(rb".{128}DICM", re.DOTALL), "DICOM"),
)
HEAD_BYTES = 132
"""First bytes of a file that are looked at."""
MAX_POINTER_BYTES = 1024
"""Larger files are no pointers."""
_POINTER = re.compile(rb"version https://git-lfs|(\.\./)*\.?/?(git/)?annex/objects/")
_LEFT_BEHIND = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "folder.ico", "zbthumbnail.info"}
)
_LEFT_BEHIND_FOLDERS = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
    | {"__pycache__"}
)


def readable_kind(head: bytes) -> str | None:
    """Return the format of a file's first bytes, one that can be read, or None."""
    return next((kind for pattern, kind in _READABLE if pattern.match(head)), None)


def unreadable_kind(head: bytes) -> str | None:
    """Return the image format of a file's first bytes, one that cannot be read here, or None."""
    return next((kind for pattern, kind in _UNREADABLE if pattern.match(head)), None)


def is_pointer(head: bytes) -> bool:
    """Whether a file stands for another one that has not been fetched (Git LFS, git-annex)."""
    return _POINTER.match(head) is not None


def is_left_behind(name: str) -> bool:
    """Whether a file is hidden, or one that file managers write beside images."""
    return name.startswith(".") or name.lower() in _LEFT_BEHIND


def is_left_behind_folder(name: str) -> bool:
    """Whether a folder is hidden, or one that file managers, archives and notebooks make."""
    return name.startswith(".") or name.lower() in _LEFT_BEHIND_FOLDERS
