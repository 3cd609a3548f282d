"""One sentence per level of an axis: what it changes, with its interval and verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ablate.errors import plural
from ablate.quoting import code
from ablate.reporting.evidence.comparisons import Comparison
from ablate.reporting.evidence.effects import Effect
from ablate.reporting.results import NOT_MEASURED, Results, prose
from ablate.reporting.statistics.power import MOST_SEEDS
from ablate.reporting.statistics.verdict import Judged, Verdict
from ablate.reporting.text.markdown import points


def axis_sentences(results: Results, axis: str) -> list[str]:
    """One sentence for each level of an axis but the baseline's."""
    sentences = []
    for effect in results.effects.of_axis(axis, results.effects.primary):
        sentences.append(_level_sentence(results, effect))
    return sentences


def _level_sentence(results: Results, effect: Effect) -> str:
    comparison = effect.comparison
    compared = f"{code(comparison.levels[0])} against {code(comparison.against[0])}"
    same_arm = _same_arm_text(comparison.n_same_arm)
    # excluded, merged or failed: the axis has this level, and it is answered with why not
    if effect.n_pairs == 0:
        nothing = "nothing to compare, because no two complete trials differ in this axis alone"
        return f"{compared}: {nothing}.{same_arm}"
    size = f"{points(effect.estimate)} points of {prose(effect.metric)}{_in_brackets(effect)}"
    secondary = _secondary_text(results.effects.of(comparison, results.effects.secondary))
    verdict = effect_verdict(effect, margin=results.record.margin)
    return (
        f"{compared}: {verdict}. {size}, mean of {_pairs_text(effect)}. "
        f"{results.task.secondary_prose}: {secondary}.{same_arm}"
    )


def _same_arm_text(n_cells: int) -> str:
    """A sentence on cells in which an axis changes nothing, e.g. alpha where the rank is 0."""
    if not n_cells:
        return ""
    return f" Not counted: {plural(n_cells, 'cell')} in which both levels are the same arm."


def _pairs_text(effect: Effect) -> str:
    """`12 pairs (SD 1.4, positive in 9)`: a pair is two trials that differ in this axis alone."""
    spread = ""
    if not math.isnan(effect.sd_of_pairs):
        spread = f"SD {100 * effect.sd_of_pairs:.1f}, "
    return f"{plural(effect.n_pairs, 'pair')} ({spread}positive in {effect.n_higher})"


def _secondary_text(effect: Effect) -> str:
    if math.isnan(effect.estimate):
        return NOT_MEASURED
    return f"{points(effect.estimate)} points{_in_brackets(effect)}"


def _in_brackets(effect: Effect) -> str:
    """` (interval -1.4 to +7.4)`, or nothing."""
    if math.isnan(effect.judged.low):
        return ""
    return f" ({interval_text(effect.judged)})"


def interval_text(judged: Judged) -> str:
    """`interval -1.4 to +7.4`, in points."""
    if math.isnan(judged.low):
        return "no interval"
    return f"interval {points(judged.low)} to {points(judged.high)}"


def effect_verdict(effect: Effect, *, margin: float | None = None) -> str:
    """What may be said of an effect, and what would settle it where that is too little.

    `margin` is that of the grid, in points.
    """
    words = verdict_words(effect.judged, effect.seeds_to_settle, margin=margin)
    if effect.is_exploratory:
        return f"{words} (exploratory)"
    return words


def verdict_words(judged: Judged, seeds_to_settle: int | None, *, margin: float | None) -> str:
    """The verdict of a comparison as a sentence has it, with the price of a settled one.

    `margin` is that of the grid, in points.
    """
    # no interval, and so nothing below can be said
    if judged.verdict is Verdict.UNKNOWN:
        return "unknown: one seed cannot separate it from seed noise"
    # in bold, because it is what a skimming reader must not miss
    if judged.excludes_zero:
        if judged.beyond_margin and margin is not None:
            return f"**{judged.verdict.value} by more than {_margin_words(margin)}**"
        return f"**{judged.verdict.value}**"
    largest = f"{100 * judged.largest:.1f} points"
    if judged.verdict is Verdict.NO_LARGER:
        no_larger = f"no difference larger than {largest}"
        # without a margin nothing is equivalent: this verdict comes of a margin alone
        if margin is None:
            return no_larger
        return f"{no_larger}, within the margin of {_margin_words(margin)}"
    # never "no effect": what is excluded is said, and what it would cost to know
    return f"undecided, no difference larger than {largest}; {_price(seeds_to_settle)}"


def verdict_cell(judged: Judged) -> str:
    """The verdict in a table that has the interval beside it."""
    if judged.verdict is Verdict.NO_LARGER:
        return "within the margin"
    return judged.verdict.value


def _margin_words(margin: float) -> str:
    if margin == 1:
        return "1 point"
    return f"{margin:g} points"


def _price(seeds_to_settle: int | None) -> str:
    """What would settle an undecided comparison, were it as large as it looks."""
    if seeds_to_settle is None:
        return f"more than {MOST_SEEDS} seeds would settle it"
    return f"about {seeds_to_settle} seeds would settle it"


def sides(comparison: Comparison) -> tuple[str, str]:
    """`freeze_depth=0 augment=strong` and `freeze_depth=all augment=none`, as code."""
    first = dict(zip(comparison.axes, comparison.levels, strict=True))
    second = dict(zip(comparison.axes, comparison.against, strict=True))
    return code(_levels_text(first)), code(_levels_text(second))


def _levels_text(levels: Mapping[str, str]) -> str:
    return " ".join(f"{axis}={level}" for axis, level in levels.items())


def share_sentence(results: Results, axis: str) -> str:
    """How much of the variance of the primary metric the axis explains; empty if not known."""
    explained = f"Share of the variance of {prose(results.effects.primary)} (omega squared)"
    effects = results.effects.of_axis(axis, results.effects.primary)
    # The share is the axis's: every level of it carries the same number.
    if not effects or math.isnan(effects[0].share):
        # a design of one factor cannot tell an axis from what is left
        return ""
    return f"{explained}: {100 * effects[0].share:.0f} %."
