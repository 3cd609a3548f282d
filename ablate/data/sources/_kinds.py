"""What kind of file lies there, by its name: an image, a pointer to one, or clutter."""

from __future__ import annotations

import re

from ablate.data.images import SUFFIXES

MORE_SUFFIXES = frozenset(
    {".jfif", ".jif", ".jpe", ".pjp", ".pjpeg", ".apng", ".dib", ".pbm", ".pnm", ""}
)
"""Rarer names of the formats that can be read, in lower case, and none at all."""
NAMED_IMAGES = SUFFIXES | MORE_SUFFIXES - {""}
"""Suffixes that are taken for images without reading their bytes."""
_PHOTOGRAPHS = {".heic", ".heif", ".avif", ".avifs", ".jp2", ".j2k", ".jpf", ".jpx", ".jxl", ".jxr"}
_DRAWINGS = {".psd", ".svg", ".tga", ".exr", ".hdr"}
_MEDICAL = {".dcm", ".dicom"}
_RAW = {".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"}
UNREADABLE_SUFFIXES = frozenset(_PHOTOGRAPHS | _DRAWINGS | _MEDICAL | _RAW)
"""Suffixes of images in formats that cannot be read here."""
MAX_POINTER_BYTES = 1024
"""Larger files are no pointers."""
# The second form is what git-annex leaves where links are not supported: the link's target.
_POINTER = re.compile(rb"version https://git-lfs|(\.\./)*\.?/?(git/)?annex/objects/")
# Finder names a folder's own icon with a carriage return at the end.
_LEFT_BEHIND = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "folder.ico", "zbthumbnail.info"}
)
_LEFT_BEHIND_FOLDERS = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
    | {"__pycache__"}
)


def is_pointer(head: bytes) -> bool:
    """Whether a file stands for another one that has not been fetched (Git LFS, git-annex)."""
    return _POINTER.match(head) is not None


def is_left_behind(name: str) -> bool:
    """Whether a file is hidden, or one that file managers write beside images."""
    return name.startswith(".") or name.lower() in _LEFT_BEHIND


def is_left_behind_folder(name: str) -> bool:
    """Whether a folder is hidden, or one that file managers, archives and notebooks make."""
    return name.startswith(".") or name.lower() in _LEFT_BEHIND_FOLDERS
