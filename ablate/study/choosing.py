"""Which of several values of a metric is the best, and which values may choose at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from ablate.study.tasks import is_lower_better

# Above it a value counts as infinite; see `is_score`.
_LARGEST_SCORE = 1e300
Candidate = TypeVar("Candidate")


def is_better(metric: str, value: float, than: float) -> bool:
    """Whether `value` beats `than` for a metric key such as `val/accuracy`. Equal is not better."""
    if is_better_when_low(metric):
        return value < than
    return value > than


def is_better_when_low(metric: str) -> bool:
    """Whether a low value of a metric key is good: that of a loss, a cost or a time."""
    group, _, name = metric.rpartition("/")
    # "cost/flops" and "time/train_s" belong to no task, so their group decides.
    return group in ("cost", "time") or is_lower_better(name)


def is_score(value: float) -> bool:
    """Whether a value may choose: it is finite."""
    # Databases keep an infinity as the largest number that they have.
    return math.isfinite(value) and abs(value) < _LARGEST_SCORE


def scores_in(metrics: Mapping[str, float], names: Iterable[str]) -> list[float]:
    """The scores of these names, in their order; NaN, which chooses nothing, for a missing one."""
    return [metrics.get(name, math.nan) for name in names]


def best_of(
    metric: str, candidates: Iterable[Candidate], score: Callable[[Candidate], float]
) -> Candidate | None:
    """The candidate with the best `score`, the first of equal ones.

    None where none has a score that may choose.
    """
    best: tuple[Candidate, float] | None = None
    for candidate in candidates:
        value = score(candidate)
        if is_score(value) and (best is None or is_better(metric, value, than=best[1])):
            best = (candidate, value)
    if best is None:
        return None
    return best[0]
