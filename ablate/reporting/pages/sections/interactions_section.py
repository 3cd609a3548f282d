"""The report's table of interactions of two axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ablate.errors import some
from ablate.quoting import code
from ablate.reporting.evidence.effects import Effect
from ablate.reporting.results import NOT_MEASURED, Results, ShowFigure, prose
from ablate.reporting.text.effect_sentences import verdict_cell
from ablate.reporting.text.layout import folded_list
from ablate.reporting.text.markdown import join_sections, p_value, points, table

# a grid of five axes has hundreds: the rest is in the CSV
_N_SHOWN = 12
_N_NAMED = 3
_HEADER = (
    "levels",
    "against",
    "points",
    "interval",
    "p, corrected",
    "omega squared",
    "verdict",
)


def interactions_section(results: Results, _show: ShowFigure) -> str:
    """Those with the smallest p; empty where none could be measured."""
    effects = []
    for effect in results.effects.interactions:
        if effect.metric == results.effects.primary and effect.n_pairs:
            effects.append(effect)
    if not effects:
        return ""
    effects.sort(key=_rank)
    note = (
        "Does the effect of one level depend on the level of another axis? The difference of two "
        f"differences, in points of {prose(results.effects.primary)}. {_settled_text(effects)} "
        f"{_shown_text(len(effects))} in `interactions.csv`."
    )
    rows = list(map(_row, effects[:_N_SHOWN]))
    listed = folded_list(len(rows), "interaction", table(_HEADER, rows, n_text_columns=2))
    return join_sections(["## Interactions", note, listed]).rstrip()


def _shown_text(n_effects: int) -> str:
    if n_effects <= _N_SHOWN:
        return "They are in the table, and"
    return f"The {_N_SHOWN} with the smallest p are in the table, all"


def _settled_text(effects: Sequence[Effect]) -> str:
    """What a reader of a folded table must not miss; `effects` in the order of `_rank`."""
    settled = []
    for effect in effects:
        if effect.judged.excludes_zero:
            settled.append(f"{code(effect.comparison.name)} ({points(effect.estimate)})")
    if not settled:
        return f"0 of {len(effects)} settled."
    return f"{len(settled)} of {len(effects)} settled: {some(settled, most=_N_NAMED)}."


def _rank(effect: Effect) -> tuple[float, float]:
    """The smallest p first, then the largest; what was not tested last."""
    p = effect.judged.p
    if math.isnan(p):
        # NaN compares with nothing, so a sort would leave it anywhere
        p = math.inf
    return p, -abs(effect.estimate)


def _row(effect: Effect) -> list[str]:
    span = NOT_MEASURED
    if not math.isnan(effect.judged.low):
        span = f"{points(effect.judged.low)} to {points(effect.judged.high)}"
    # merged or excluded cells may leave a design that cannot tell the two axes apart
    share = NOT_MEASURED
    if not math.isnan(effect.share):
        share = f"{100 * effect.share:.0f} %"
    return [
        code(effect.comparison.name),
        code(" x ".join(effect.comparison.against)),
        points(effect.estimate),
        span,
        _bare_p(effect.judged.p),
        share,
        _verdict(effect),
    ]


def _verdict(effect: Effect) -> str:
    verdict = verdict_cell(effect.judged)
    if effect.is_exploratory:
        # the promise of 95 % is for the questions that the grid declares
        verdict += " (exploratory)"
    return verdict


def _bare_p(p: float) -> str:
    """In a column of p values: `0.012` or `< 0.001`."""
    return p_value(p).removeprefix("p ").removeprefix("= ")
