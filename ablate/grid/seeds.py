"""Seeds: whole numbers that torch, numpy and a database take, from a grid file or `--seeds`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from ablate.errors import SpecError

MAX_SEED = 10**18
"""Below 2**63, where torch's generators and 64-bit columns end, with room for noise-floor seeds."""
MAX_SEEDS = 10_000
_MAX_DIGITS = 100
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, strict=True)]


def read_seeds(text: str) -> tuple[int, ...]:
    """`0,1,2` -> (0, 1, 2).

    Raises SpecError for anything but different seeds with commas or spaces between them.
    """
    seeds = _whole_numbers(text.replace(",", " ").split())
    if not seeds or len(set(seeds)) < len(seeds):
        shown = text
        if len(text) > 60:
            shown = text[:57] + "..."
        raise SpecError(
            "--seeds must be different whole numbers with commas between them, e.g. 0,1,2, "
            f"got {shown!r}"
        )
    if len(seeds) > MAX_SEEDS:
        raise SpecError(f"--seeds must be at most {MAX_SEEDS:,} numbers, got {len(seeds):,}")
    if max(seeds) > MAX_SEED:
        raise SpecError(
            f"--seeds must be numbers from 0 to 10^18, got {max(seeds)}; take a smaller one"
        )
    return seeds


def check_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Seeds that are asked for in Python. Raises SpecError as `read_seeds` does."""
    return read_seeds(",".join(map(str, seeds)))


def _whole_numbers(words: list[str]) -> tuple[int, ...]:
    """The numbers, or none where a word is not one."""
    for word in words:
        # isdigit() alone also takes digits of other scripts and superscripts; and Python refuses
        # to convert several thousand digits with an error of its own.
        if not (word.isascii() and word.isdigit() and len(word) <= _MAX_DIGITS):
            return ()
    return tuple(map(int, words))
