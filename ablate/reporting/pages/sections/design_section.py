"""The report on what its design can show: the smallest effect, the seeds for a gap."""

from __future__ import annotations

import math

from ablate.quoting import code
from ablate.reporting.evidence.effects import Effect
from ablate.reporting.results import NOT_MEASURED, Results, ShowFigure, prose
from ablate.reporting.statistics.power import MOST_SEEDS
from ablate.reporting.text import conclusions
from ablate.reporting.text.markdown import join_sections, points, table

_HEADER = (
    "level",
    "observed",
    "smallest detectable",
    "seeds to settle it",
    "SE, seeds",
    "SE, images",
)


def design_section(results: Results, _show: ShowFigure) -> str:
    """Level by level; empty where nothing was compared."""
    rows = []
    for effect in results.effects.mains:
        if effect.metric == results.effects.primary and effect.n_pairs:
            rows.append(_row(effect))
    if not rows:
        return ""
    note = (
        "The smallest true effect that this design detects with a power of 80 %, and the seeds "
        "after which the interval would exclude 0, were the difference what it is. "
        f"{conclusions.noise_sentence(results)} The standard errors show what more seeds, or more "
        f"test images, would gain. All in points of {prose(results.effects.primary)}."
    )
    return join_sections(["## What this design can show", note, table(_HEADER, rows)]).rstrip()


def _row(effect: Effect) -> list[str]:
    smallest = "none"
    if math.isfinite(effect.smallest_effect):
        smallest = f"{100 * effect.smallest_effect:.1f}"
    seeds = f"more than {MOST_SEEDS}"
    if effect.seeds_to_settle is not None:
        seeds = str(effect.seeds_to_settle)
    if effect.judged.excludes_zero:
        seeds = "settled"
    return [
        code(effect.comparison.name),
        points(effect.estimate),
        smallest,
        seeds,
        _points_or_missing(effect.judged.estimate.se_seeds),
        _points_or_missing(effect.judged.estimate.se_images),
    ]


def _points_or_missing(value: float) -> str:
    return NOT_MEASURED if math.isnan(value) else f"{100 * value:.2f}"
