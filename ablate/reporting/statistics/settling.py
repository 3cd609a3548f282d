"""How many seeds an open comparison needs before it is settled."""

from __future__ import annotations

import math

from ablate.reporting.statistics.power import Design, seeds_to_settle
from ablate.reporting.statistics.verdict import Judged, Verdict


def seeds_until_settled(
    judged: Judged, design: Design, *, margin: float | None, n_planned: int
) -> int | None:
    """Return the seeds after which the interval would settle it, were the difference what it is.

    The interval then excludes 0, or lies within `margin`, whichever comes first: at least one seed
    more than the `n_planned` that left it open. None where it is settled, with one seed, and beyond
    `power.MOST_SEEDS`.
    """
    estimate = judged.estimate
    if judged.verdict is not Verdict.UNDECIDED or estimate.n_seeds < 2:
        return None
    distance = abs(estimate.value)
    # around an unchanged difference the interval leaves 0 out below `distance`, and stays within
    # the margin below `margin - distance`: the wider of the two is reached first
    half_width = max(distance, (margin or 0.0) - distance)
    if half_width == 0:
        return None
    seeds = estimate.se_seeds
    images = 0.0 if math.isnan(estimate.se_images) else estimate.se_images
    if design.has_own_splits:
        own = min(estimate.se_own, seeds)
        seeds = math.sqrt(seeds**2 - own**2)
        images = math.hypot(images, own)
    # back from the standard error of the comparison to the noise of a single trial
    sd = seeds * math.sqrt(estimate.n_seeds / design.square)
    n_seeds = seeds_to_settle(design, half_width, sd=sd, se_images=images)
    # by the formula, as many as there are may do where the interval misses by a hair
    return None if n_seeds is None else max(n_seeds, n_planned + 1)
