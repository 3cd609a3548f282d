"""The report on what its design can show: the smallest effect, the seeds for a gap."""

from __future__ import annotations

import math

from ablate.quoting import code
from ablate.reporting.evidence.effects import Effect
from ablate.reporting.results import NOT_MEASURED, Results, ShowFigure, prose
from ablate.reporting.statistics.power import MOST_SEEDS
from ablate.reporting.statistics.verdict import Verdict
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
    # noise last: it is what all these numbers come from
    note = (
        f"In points of {prose(results.effects.primary)}. Smallest detectable: the true effect that "
        "this design finds with a power of 80 %. Seeds to settle it: as many would do if the "
        "difference is what was observed. The standard errors (SE) tell whether more seeds or more "
        f"test images would help. {conclusions.noise_sentence(results)}"
    )
    return join_sections(["## What this design can show", note, table(_HEADER, rows)]).rstrip()


def _row(effect: Effect) -> list[str]:
    # with one seed no effect of any size can be found
    smallest = "none"
    if math.isfinite(effect.smallest_effect):
        smallest = f"{100 * effect.smallest_effect:.1f}"
    seeds = "settled"
    # None has three meanings: settled, unknown, and more seeds than anybody would train
    if effect.seeds_to_settle is not None:
        seeds = str(effect.seeds_to_settle)
    elif effect.verdict is Verdict.UNKNOWN:
        seeds = NOT_MEASURED
    elif effect.verdict is Verdict.UNDECIDED:
        seeds = f"more than {MOST_SEEDS}"
    return [
        code(effect.comparison.name),
        points(effect.estimate),
        smallest,
        seeds,
        _points_or_missing(effect.judged.estimate.se_seeds),
        _points_or_missing(effect.judged.estimate.se_images),
    ]


def _points_or_missing(value: float) -> str:
    if math.isnan(value):
        return NOT_MEASURED
    return f"{100 * value:.2f}"
