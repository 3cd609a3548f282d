"""Verdicts of a family of comparisons, which hold together: each from its simultaneous interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ablate.reporting.statistics.estimate import Estimate

# The parts below were chosen by simulation (docs/statistics.md, "Families"); a change of any makes
# every committed report claim something else.
ALPHA = 0.05
"""The share of studies in which anything that a report says may be false."""
QUESTIONS_ALPHA = 0.035
"""The part of it for declared questions, where there are any. Main effects and interactions then
are exploratory, with an error of their own."""
MAINS_ALPHA = 0.035
"""The part for main effects, where there are none."""
INTERACTIONS_ALPHA = 0.005
"""Their part: a design with many interactions must not pay for them with its main effects."""
ARMS_ALPHA = 0.01
"""The part for arms against the baseline that no question or main effect has answered."""
CHOICES_ALPHA = 0.005
"""The part for what each choice of the best arm is worth. The best arm is lucky, on test as well,
so its share must be small."""
BEST_ALPHA = 0.005
"""The part for the arms that may be the best.

With questions the parts add up to 5.5 %, without to 6 %: families err in the same studies, and
correlated comparisons err less often than their correction assumes. With larger parts for arms,
choices and the best, 7 to 9 % of studies were wrong in designs of few questions and many seeds.
"""


class Verdict(StrEnum):
    """What may be said of a comparison."""

    BETTER = "better"
    WORSE = "worse"
    NO_LARGER = "no larger"
    """No difference larger than the margin, or than the farther end of the interval."""
    UNDECIDED = "undecided"
    UNKNOWN = "unknown"
    """One seed, or no score: nothing can be said."""


@dataclass(frozen=True)
class Judged:
    """A comparison, its simultaneous interval and its verdict: one answer, wherever it is shown."""

    estimate: Estimate
    low: float
    """NaN where the error is unknown."""
    high: float
    p: float
    """Corrected: below `ALPHA` exactly where the interval excludes 0."""
    verdict: Verdict
    beyond_margin: bool
    """Whether the difference is larger than the margin for sure (better or worse by more)."""

    @property
    def excludes_zero(self) -> bool:
        return self.verdict in (Verdict.BETTER, Verdict.WORSE)

    @property
    def largest(self) -> float:
        """The largest difference, either way, that the interval holds."""
        return max(abs(self.low), abs(self.high))

    def reversed(self) -> Judged:
        """The same answer to the comparison with its sides exchanged."""
        return replace(
            self,
            estimate=replace(self.estimate, value=-self.estimate.value),
            low=-self.high,
            high=-self.low,
            verdict=_REVERSED.get(self.verdict, self.verdict),
        )


_REVERSED = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}


def judge(
    estimates: Sequence[Estimate],
    *,
    alpha: float = ALPHA,
    margin: float | None = None,
    is_lower_better: bool = False,
) -> tuple[Judged, ...]:
    """Judge the comparisons of one family together.

    Intervals are Bonferroni's, so all of them hold at once in at least 1 - alpha of studies,
    however they depend on each other; and every verdict follows from its interval. `margin` is the
    difference that matters, in units of the metric (equivalence as in Schuirmann, 1987).
    """
    # only comparisons that can have an interval can err: the others take nothing of the error
    n_known = sum(not math.isnan(estimate.half_width(ALPHA)) for estimate in estimates)
    each = alpha / max(n_known, 1)
    judged = []
    for estimate in estimates:
        answer = _judge(estimate, alpha=each, margin=margin, is_lower_better=is_lower_better)
        judged.append(answer)
    return tuple(judged)


def _judge(
    estimate: Estimate, *, alpha: float, margin: float | None, is_lower_better: bool
) -> Judged:
    half = estimate.half_width(alpha)
    if math.isnan(half) or math.isnan(estimate.value):
        return Judged(estimate, math.nan, math.nan, math.nan, Verdict.UNKNOWN, beyond_margin=False)
    low = estimate.value - half
    high = estimate.value + half
    # p is scaled to be compared with 5 %, whatever part of the 5 % this family and comparison has
    p = min(estimate.p * ALPHA / alpha, 1.0)
    verdict = _verdict(low, high, margin=margin, is_lower_better=is_lower_better)
    # the whole interval on one side: larger than the margin, whichever way
    beyond = margin is not None and (low > margin or high < -margin)
    return Judged(estimate, low, high, p, verdict, beyond_margin=beyond)


def _verdict(low: float, high: float, *, margin: float | None, is_lower_better: bool) -> Verdict:
    # before the margin: an interval that excludes 0 and lies within it is a difference, a small one
    if low > 0 or high < 0:
        is_gain = (low > 0) != is_lower_better
        return Verdict.BETTER if is_gain else Verdict.WORSE
    if margin is not None and -margin <= low and high <= margin:
        return Verdict.NO_LARGER
    return Verdict.UNDECIDED
