"""One sentence per level of an axis: what it changes, with its interval, p and verdict."""

from __future__ import annotations

import math

from ablate.quoting import code
from ablate.reporting.evidence.effects import Effect
from ablate.reporting.results import NOT_MEASURED, Results, prose
from ablate.reporting.statistics.power import MOST_SEEDS
from ablate.reporting.text.markdown import p_value, plural, points


def axis_sentences(results: Results, axis: str) -> list[str]:
    """One sentence for each level of an axis but the baseline's."""
    effects = results.effects.of_axis(axis, results.effects.primary)
    return [_level_sentence(results, effect) for effect in effects]


def _level_sentence(results: Results, effect: Effect) -> str:
    comparison = effect.comparison
    compared = f"{code(comparison.levels[0])} against {code(comparison.against[0])}"
    same_arm = _same_arm_text(comparison.n_same_arm)
    if effect.n_pairs == 0:
        nothing = "nothing to compare, no pair of complete trials differs in this axis alone"
        return f"{compared}: {nothing}.{same_arm}"
    size = f"**{points(effect.estimate)} points** of {prose(effect.metric)}{_in_brackets(effect)}"
    verdict = effect_verdict(effect)
    secondary = _secondary_text(results.effects.of(comparison, results.effects.secondary))
    return (
        f"{compared}: {size} on average over {_pairs_text(effect)}; {verdict}. "
        f"{results.task.secondary_prose}: {secondary}.{same_arm}"
    )


def _same_arm_text(n_cells: int) -> str:
    """A sentence on cells in which an axis changes nothing, e.g. alpha where the rank is 0."""
    if not n_cells:
        return ""
    return f" {plural(n_cells, 'cell')} not counted: both levels are the same arm there."


def _pairs_text(effect: Effect) -> str:
    """`12 pairs, SD 1.4 (higher in 9)`: a pair is two trials that differ in this axis alone."""
    pairs = plural(effect.n_pairs, "pair")
    if not math.isnan(effect.sd_of_pairs):
        pairs += f", SD {100 * effect.sd_of_pairs:.1f}"
    return f"{pairs} (higher in {effect.n_higher})"


def _secondary_text(effect: Effect) -> str:
    if math.isnan(effect.estimate):
        return NOT_MEASURED
    return f"{points(effect.estimate)} points{_in_brackets(effect)}"


def _in_brackets(effect: Effect) -> str:
    """` (95 % interval -1.4 to +7.4; p = 0.145, corrected = 0.582)`, or nothing."""
    if math.isnan(effect.interval.low):
        return ""
    corrected = p_value(effect.p_holm).removeprefix("p ")
    return f" ({interval_text(effect)}; {p_value(effect.test.p)}, corrected {corrected})"


def interval_text(effect: Effect) -> str:
    """`95 % interval -1.4 to +7.4`, in points."""
    if math.isnan(effect.interval.low):
        return "no interval"
    return f"95 % interval {points(effect.interval.low)} to {points(effect.interval.high)}"


def effect_verdict(effect: Effect) -> str:
    """Whether an effect is significant, and what the design could have detected."""
    if effect.is_claimed:
        return "significant"
    if math.isnan(effect.test.p):
        return "one seed cannot separate it from seed noise"
    if abs(effect.estimate) >= effect.smallest_effect:
        # Large enough for this design, were it equal everywhere: its spread over pairs says no.
        return (
            "not significant: an effect of this size would be if it were equal at every level "
            f"of the other axes, but its SD over pairs is {100 * effect.sd_of_pairs:.1f}"
        )
    return f"not significant; {_detectable(effect)}{_seeds_to_detect(effect)}"


def _detectable(effect: Effect) -> str:
    n_seeds = plural(effect.n_seeds, "seed")
    # The smallest p of a test with few seeds may lie above what Holm leaves to the last of many.
    if math.isinf(effect.smallest_effect):
        return f"{n_seeds} cannot reach significance here at any effect size"
    return f"with {n_seeds} this design detects {100 * effect.smallest_effect:.1f} points or more"


def _seeds_to_detect(effect: Effect) -> str:
    """What it would take to find an effect of the size seen; empty where enough seeds ran."""
    if effect.seeds_for_this_gap is None:
        return f", an effect of this size would need more than {MOST_SEEDS} seeds"
    if effect.seeds_for_this_gap > effect.n_seeds:
        return f", an effect of this size would need {effect.seeds_for_this_gap} seeds"
    return ""


def share_sentence(results: Results, axis: str) -> str:
    """How much of the variance of the primary metric the axis explains."""
    explained = f"Share of the variance of {prose(results.effects.primary)} (omega squared)"
    effects = results.effects.of_axis(axis, results.effects.primary)
    # The share is the axis's: every level of it carries the same number.
    if not effects or math.isnan(effects[0].share):
        return f"{explained}: {NOT_MEASURED}."
    return f"{explained}: {100 * effects[0].share:.0f} %."


def check_sentence(results: Results) -> str:
    """What the tests take as one independent unit, and why."""
    # Pairs within a seed share its split, its initial head and its order of images. Where levels
    # act differently from seed to seed, pairs are no independent evidence: the unit is the seed.
    check = results.effects.seed_check
    if math.isnan(check.p):
        return (
            "Whether effects differ between seeds cannot be checked in this design; "
            "the tests assume that they do not."
        )
    test = f"level x seed F({check.df[0]}, {check.df[1]}) = {check.f:.2f}, {p_value(check.p)}"
    if check.is_seed_the_unit:
        return (
            f"Effects differ between seeds ({test}), "
            "so each seed counts as one independent unit in all intervals and p."
        )
    return (
        f"Effects show no difference between seeds ({test}), "
        "so pairs of different arms within a seed count as independent."
    )
