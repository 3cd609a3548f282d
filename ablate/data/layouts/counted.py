"""Numbers with their nouns."""

from __future__ import annotations

from collections.abc import Sized


def counted(things: int | Sized, noun: str) -> str:
    """`1 image`, `2 images`, `3 classes`."""
    n = things if isinstance(things, int) else len(things)
    if n == 1:
        return f"{n} {noun}"
    if noun.endswith("s"):
        return f"{n} {noun}es"
    return f"{n} {noun}s"
