"""How large a grid may be.

Measured: a plan takes 2 s for 10,000 arms and 9 s for 50,000; 10,000 arms with 10 seeds each take
4 s more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ablate.errors import SpecError

MAX_CELLS = 50_000
"""Combinations of levels that a design examines one by one."""
MAX_TRIALS = 100_000
"""Of a study, or of its tuning."""
# From here on digits say less than a power of ten.
_LARGEST_WRITTEN_OUT = 10**15
_MOST_FACTORS = 8
"""Of a product in a message."""


def cells_mistake(n_levels: Sequence[int], design: str) -> str | None:
    """Why a design cannot examine all combinations of so many levels per axis, or None."""
    product = ""
    if design == "full":
        n_cells = math.prod(n_levels)
        product = f" ({shown_product(n_levels)} levels)"
    else:
        # The baseline, and for each axis the levels that it does not have.
        n_cells = 1 + sum(n - 1 for n in n_levels)
    if n_cells <= MAX_CELLS:
        return None
    return (
        f"must be at most {MAX_CELLS:,} cells in design {design}, got {shown_count(n_cells)}"
        f"{product}; take fewer levels, design {{random: n}} or a search"
    )


def check_trials(
    factors: Sequence[tuple[int, str]], *, n_more: int = 0, what: str = "a study"
) -> None:
    """Check the number of trials: the product of the factors, and `n_more` on top.

    `factors` are e.g. (12, "arms") and (3, "seeds"). Raises SpecError where they are too many.
    """
    # Counted, not made: Python's integers do not overflow, and a list of them would not fit memory.
    n_trials = 1
    words: list[str] = []
    for n, noun in factors:
        n_trials *= n
        words.append(f"{n:,} {noun}")
    n_trials += n_more
    if n_trials > MAX_TRIALS:
        product = " x ".join(words)
        raise SpecError(
            f"{what} must have at most {MAX_TRIALS:,} trials, "
            f"got {shown_count(n_trials)} ({product}); "
            "take fewer levels or seeds, design {random: n} or a search"
        )


def shown_count(n: int) -> str:
    """`1,000,000`; a number too long to read is given as a power of ten."""
    if n < _LARGEST_WRITTEN_OUT:
        return f"{n:,}"
    return f"about 10^{len(str(n)) - 1}"


def shown_product(numbers: Iterable[int]) -> str:
    """`10 x 100 x 1000`; of many factors only the first."""
    factors = list(map(str, numbers))
    product = " x ".join(factors[:_MOST_FACTORS])
    if len(factors) > _MOST_FACTORS:
        product += " x ..."
    return product
