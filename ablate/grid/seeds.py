"""Seeds: whole numbers that torch, numpy and a database take, from a grid file or `--seeds`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain, groupby
from typing import Annotated

from pydantic import Field

from ablate.errors import SpecError

MAX_SEED = 10**18
"""Below 2**63, where torch's generators and 64-bit columns end, with room for noise-floor seeds."""
DEFAULT_PILOT_SEED = 1000
"""Far from 0, 1, 2, ..., which people take as seeds, and from those that they add to them."""
MAX_SEEDS = 10_000
_RANGE = re.compile(r"([0-9]{1,100})(?:-([0-9]{1,100}))?")
"""Of digits, few enough: Python refuses to convert several thousand with an error of its own."""
# `0-1` is no shorter than `0,1`.
_SHORTEST_RANGE = 3
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, strict=True)]


def read_seeds(text: str) -> tuple[int, ...]:
    """`0,1,2` -> (0, 1, 2), `0-3,7` -> (0, 1, 2, 3, 7).

    Raises SpecError for anything but different seeds with commas or spaces between them.
    """
    words = text.replace(",", " ").split()
    parts = list(map(_seeds_of, words))
    seeds = tuple(chain.from_iterable(parts))
    # A word that is no number gives an empty part, and so does a range that counts down.
    is_readable = bool(parts) and all(parts)
    if not is_readable or len(set(seeds)) < len(seeds):
        shown = text
        if len(text) > 60:
            shown = text[:57] + "..."
        raise SpecError(
            "--seeds must be different whole numbers with commas between them, e.g. 0,1,2 or "
            f"0-7, got {shown!r}"
        )
    if len(seeds) > MAX_SEEDS:
        raise SpecError(f"--seeds must be at most {MAX_SEEDS:,} numbers, got more")
    if max(seeds) > MAX_SEED:
        raise SpecError(
            f"--seeds must be numbers from 0 to 10^18, got {max(seeds)}; take a smaller one"
        )
    return seeds


def check_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Seeds that are asked for in Python. Raises SpecError as `read_seeds` does."""
    return read_seeds(",".join(map(str, seeds)))


def seeds_text(seeds: Sequence[int]) -> str:
    """Inverse of `read_seeds`: (0, 1, 2, 3, 7) -> `0-3,7`, in the order of `seeds`."""
    words: list[str] = []
    # neighbours that count up share the difference between a seed and its place
    for _, run in groupby(enumerate(seeds), key=lambda item: item[1] - item[0]):
        numbers = [seed for _, seed in run]
        if len(numbers) >= _SHORTEST_RANGE:
            words.append(f"{numbers[0]}-{numbers[-1]}")
        else:
            words.extend(map(str, numbers))
    return ",".join(words)


def _seeds_of(word: str) -> Sequence[int]:
    """The seeds that a word means; empty where it is no number and no range."""
    match = _RANGE.fullmatch(word)
    if match is None:
        return ()
    first = int(match[1])
    last = int(match[2] or match[1])
    # one more than may be is enough to be refused, and is counted in no time
    return range(first, min(last, first + MAX_SEEDS) + 1)
