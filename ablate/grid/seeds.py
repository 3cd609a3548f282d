"""Seeds: whole numbers that torch, numpy and a database take, from a grid file or from `--seeds`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ablate.errors import SpecError

MAX_SEED = 10**18
"""Below the 2**63 at which torch's generators and 64-bit columns end, with room for the seeds of a noise floor."""
MAX_SEEDS = 10_000
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, strict=True)]


def read_seeds(text: str) -> tuple[int, ...]:
    """`0,1,2` -> (0, 1, 2). Raises SpecError for anything but different seeds with commas or spaces between them."""
    words = text.replace(",", " ").split()
    are_digits = all(word.isascii() and word.isdigit() and len(word) <= 100 for word in words)
    seeds = tuple(map(int, words)) if are_digits else ()
    if not seeds or len(set(seeds)) < len(seeds):
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise SpecError(
            f"--seeds must be different whole numbers with commas between them, e.g. 0,1,2, got {shown!r}"
        )
    if len(seeds) > MAX_SEEDS:
        raise SpecError(f"--seeds must be at most {MAX_SEEDS:,} numbers, got {len(seeds):,}")
    if max(seeds) > MAX_SEED:
        raise SpecError(
            f"--seeds must be numbers from 0 to 10^18, got {max(seeds)}; take a smaller one"
        )
    return seeds
