"""Numbers with their nouns."""

from __future__ import annotations

from collections.abc import Sized

from ablate.errors import plural


def counted(things: int | Sized, noun: str) -> str:
    """`1 image`, `2 images`, `3 classes`."""
    n = things if isinstance(things, int) else len(things)
    return plural(n, noun)
