"""An image as it is kept, undecoded: a file, or the bytes that an archive holds of one."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from ablate.checksum import digest_of_file

Encoded = Path | bytes
"""A file's path, or its content."""
MAX_BYTES = 256 * 2**20
"""Bound on an image that is read into memory undecoded: photographs take a tenth of it."""


def opened(encoded: Encoded) -> BinaryIO:
    """Return the content from its first byte on, to be closed by the caller. Raises OSError."""
    if isinstance(encoded, bytes):
        return BytesIO(encoded)
    return encoded.open("rb")


def digest_of(encoded: Encoded) -> str:
    """Return the sha256 of the content, 64 hex digits: the same as a file or as bytes."""
    if isinstance(encoded, bytes):
        return hashlib.sha256(encoded).hexdigest()
    return digest_of_file(encoded)
