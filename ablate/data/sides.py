"""A split as one letter an image: where each of all images is."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

SIDES = "tve"
"""The letter of an image in train, val and test."""
UNUSED = "-"
"""The letter of an image that `sizes` leaves out of a split."""


def rows_of(sides: str, letter: str) -> NDArray[np.int64]:
    """Return the places of a letter, ascending."""
    letters = np.frombuffer(sides.encode(), dtype=np.uint8)
    return np.flatnonzero(letters == ord(letter))


def split_fingerprint(whole_fingerprint: str, sides: str) -> str:
    """Return 64 hex digits over all images and where each of them is."""
    return hashlib.sha256(f"{whole_fingerprint} {sides}".encode()).hexdigest()
