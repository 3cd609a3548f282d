"""How large a grid may be. Measured: a plan takes 2 s for 10,000 arms and 9 s for 50,000, and 10,000 arms with 10 seeds each are 4 s more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ablate.errors import SpecError

MAX_CELLS = 50_000
"""Combinations of levels that a design looks at one by one."""
MAX_TRIALS = 100_000
"""Of a study, or of its tuning."""


def cells_mistake(n_levels: Sequence[int], design: str) -> str | None:
    """Why a design cannot look at all combinations of so many levels an axis, or None."""
    n_cells = math.prod(n_levels) if design == "full" else 1 + sum(n - 1 for n in n_levels)
    if n_cells <= MAX_CELLS:
        return None
    product = f" ({shown_product(n_levels)} levels)" if design == "full" else ""
    return f"must be at most {MAX_CELLS:,} cells in design {design}, got {shown_count(n_cells)}{product}; take fewer levels, design {{random: n}} or a search"


def check_trials(
    factors: Sequence[tuple[int, str]], *, n_more: int = 0, what: str = "a study"
) -> None:
    """Raises SpecError where the product of the factors, e.g. (12, "arms") and (3, "seeds"), and `n_more` trials are too many."""
    n_trials = math.prod(n for n, _ in factors) + n_more
    if n_trials > MAX_TRIALS:
        product = " x ".join(f"{n:,} {noun}" for n, noun in factors)
        raise SpecError(
            f"{what} must have at most {MAX_TRIALS:,} trials, got {shown_count(n_trials)} ({product}); "
            "take fewer levels or seeds, design {random: n} or a search"
        )


def shown_count(n: int) -> str:
    """`1,000,000`; of a number that nobody can read, its size."""
    return f"{n:,}" if n < 10**15 else f"about 10^{len(str(n)) - 1}"


def shown_product(numbers: Iterable[int]) -> str:
    """`10 x 100 x 1000`, of many the first."""
    words = [str(n) for n in numbers]
    return " x ".join(words[:8]) + (" x ..." if len(words) > 8 else "")
