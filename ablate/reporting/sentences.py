"""The sentences that stand under the table of scores: what is best, by how much, how sure. Results in, Markdown text out."""

from __future__ import annotations

import math

from ablate.reporting.effects import SEEDS_FOR_A_TEST, Effect, Gap, arm_gap, expected_optimism, seed_sd
from ablate.reporting.markdown import code, mean_sd, plural, points, score
from ablate.reporting.results import NOT_MEASURED, Results, prose
from ablate.spec.study import ArmRecord
from ablate.spec.trial import SPLITS

MAIN = "test/macro_f1"


def data_sentence(results: Results) -> str:
    """Which data was really used: one line, or a warning where the fallback stood in."""
    data = results.record.data
    if data.is_fallback and data.is_synthetic:
        return (
            f"**Warning: the images are synthetic stand-ins.** The grid asks for {code(data.requested_source)}, which was not to be had; its declared fallback "
            f"{code(data.source)} ({data.title}) was used. Nothing below says anything about {code(data.requested_source)}."
        )
    if data.is_fallback:
        asked = f"The grid asks for {code(data.requested_source)}; its declared fallback {code(data.source)} ({data.title}) was used."
        return f"**Warning: other data than asked for.** {asked}"
    kind = "synthetic images" if data.is_synthetic else "images"
    return f"Data: **{data.title}** ({code(data.source)}, version {data.version}), {kind}."


def split_sentence(results: Results) -> str:
    """Sizes of the splits, the number of classes, and how the splits were made."""
    data = results.record.data
    sizes = ", ".join(f"{split} {sum(data.class_counts[split]):,}" for split in SPLITS if split in data.class_counts)
    return f"{len(data.class_names)} classes; images: {sizes}. Splits: {data.split_rule}. Image size: {results.record.image_size}."


def design_sentence(results: Results) -> str:
    """Arms, seeds, and how many trials ended how."""
    states = results.trials["state"].value_counts()
    told = ", ".join(f"{states[state]} {state.lower()}" for state in sorted(states.index))
    record = results.record
    return f"{plural(len(record.arms), 'arm')} x {plural(len(record.seeds), 'seed')} = {plural(len(results.trials), 'trial')}: {told}."


def best_sentence(results: Results) -> str:
    """The champion with its scores; says so where nothing completed."""
    champion = results.champion
    if champion is None:
        return "No trial completed, so there is no best arm."
    select_by, n_seeds = results.record.select_by, int(results.number(champion.arm_id, "n_seeds"))
    return (
        f"Best arm by mean {prose(select_by)} over {plural(n_seeds, 'seed')}: **{code(champion.name)}**, {_of(results, champion, select_by)} on val; "
        f"on test macro F1 {_of(results, champion, MAIN)} and AUROC {_of(results, champion, 'test/auroc_ovr_macro')} ({_spread(n_seeds)})."
    )


def gap_sentence(results: Results) -> str:
    """The champion against the baseline, paired by seed."""
    champion, baseline = results.champion, results.baseline
    if champion is None or baseline is None:
        return ""
    if champion.arm_id == baseline.arm_id:
        return "The baseline itself is the best arm: no variation beat it on val."
    gap = arm_gap(results.trials, MAIN, arm_id=champion.arm_id, against=baseline.arm_id)
    if gap.n == 0:
        return f"Its gap to the baseline {code(baseline.name)} is not measured: no seed completed in both."
    return f"Against the baseline {code(baseline.name)}: {gap_text(gap)} in test macro F1, paired by seed; {verdict(gap)}."


def gap_text(gap: Gap) -> str:
    """`+3.2 points (SD of 3 paired differences 1.1)`."""
    if gap.n == 1:
        return f"{points(gap.mean)} points (1 seed, no spread known)"
    return f"{points(gap.mean)} points (SD of {gap.n} paired differences {100 * gap.sd:.1f}, 95 % interval {points(gap.low)} to {points(gap.high)})"


def verdict(gap: Gap) -> str:
    """What a gap of this size and spread allows to say, as a clause."""
    if gap.n < 2:
        return "with one seed it cannot be told apart from seed noise"
    if gap.is_told_apart:
        return "the interval leaves out 0"
    if gap.is_within_noise:
        return "within seed noise: cannot be told apart from no difference"
    return f"more than the SD between seeds, yet the interval holds 0: {gap.n} seeds leave it open"


def seeds_sentence(results: Results) -> str:
    """Says that the seeds are too few for a test, where they are."""
    n_seeds = len(results.record.seeds)
    if n_seeds >= SEEDS_FOR_A_TEST:
        return ""
    return (
        f"{plural(n_seeds, 'seed')} {'is' if n_seeds == 1 else 'are'} too few for a test of one arm against another (fewer than {SEEDS_FOR_A_TEST}): "
        "read gaps between arms as descriptions. Intervals are t intervals over seeds, each for one comparison, not corrected for many."
    )


def optimism_sentence(results: Results) -> str:
    """How much of the champion's val score is the luck of being picked."""
    select_by, champion = results.record.select_by, results.champion
    sd = seed_sd(results.trials, select_by) if select_by in results.trials else math.nan
    if champion is None or math.isnan(sd):
        return ""
    n_seeds, n_arms = int(results.number(champion.arm_id, "n_seeds")), int((results.arms["n_seeds"] > 0).sum())
    optimism = expected_optimism(sd, n_arms=n_arms, n_seeds=n_seeds)
    return (
        f"Seed noise: a trial's {prose(select_by)} has SD {sd:.3f} around the mean of its arm. The best of {n_arms} equal arms with {plural(n_seeds, 'seed')} "
        f"would look {optimism:.3f} better on val than it is; test was not used to choose."
    )


def ties_sentence(results: Results) -> str:
    """Which arms are within seed noise of the champion, and the one of them that trains the fewest parameters."""
    champion = results.champion
    others = [arm for arm in results.record.arms if arm is not champion and results.number(arm.arm_id, "n_seeds") > 0]
    if champion is None or not others:
        return ""
    tied = [arm for arm in others if arm_gap(results.trials, MAIN, arm_id=champion.arm_id, against=arm.arm_id).is_within_noise]
    rule = "(a gap in test macro F1 no larger than the SD of its differences over seeds)"
    if not tied:
        return f"None of the {plural(len(others), 'other arm')} is within seed noise of it {rule}."
    cheapest = min(tied, key=lambda arm: (_trainable(results, arm), -results.number(arm.arm_id, f"{MAIN}/mean")))
    cost = (
        ""
        if math.isinf(_trainable(results, cheapest))
        else f"; of these {code(cheapest.name)} trains the fewest parameters ({_trainable(results, cheapest):,.0f})"
    )
    return f"{len(tied)} of {plural(len(others), 'other arm')} cannot be told apart from it: within seed noise {rule}{cost}."


def axis_sentences(results: Results, axis: str) -> list[str]:
    """One sentence for each level of an axis: its mean paired difference, spread and verdict."""
    return [_level_sentence(effect, _auroc_effect(results, effect)) for effect in results.effects if effect.axis == axis and effect.metric == MAIN]


def _level_sentence(effect: Effect, auroc: str) -> str:
    compared = f"{code(effect.level)} against {code(effect.against)}"
    same = f" {plural(effect.n_same_arm, 'cell')} left out: both levels are the same arm there." if effect.n_same_arm else ""
    if effect.n_pairs == 0:
        return f"{compared}: nothing to compare, no pair of complete trials differs in this axis alone.{same}"
    gap = effect.gap
    spread = "" if math.isnan(effect.sd_of_pairs) else f", SD {100 * effect.sd_of_pairs:.1f}"
    interval = "" if gap.n < 2 else f", 95 % interval over {gap.n} seeds {points(gap.low)} to {points(gap.high)}"
    return (
        f"{compared}: {points(gap.mean)} points of test macro F1 on average over {plural(effect.n_pairs, 'pair')}{spread} "
        f"(higher in {effect.n_higher}){interval}; {verdict(gap)}. AUROC: {auroc}.{same}"
    )


def _auroc_effect(results: Results, effect: Effect) -> str:
    same = (other for other in results.effects if (other.axis, other.level, other.metric) == (effect.axis, effect.level, "test/auroc_ovr_macro"))
    return next((f"{points(other.gap.mean)} points" for other in same if other.gap.n > 0), NOT_MEASURED)


def _of(results: Results, arm: ArmRecord, metric: str) -> str:
    return mean_sd(results.number(arm.arm_id, f"{metric}/mean"), results.number(arm.arm_id, f"{metric}/sd"))


def _trainable(results: Results, arm: ArmRecord) -> float:
    value = results.number(arm.arm_id, "cost/n_trainable/mean")
    return math.inf if math.isnan(value) else value


def _spread(n_seeds: int) -> str:
    return f"mean ± SD, n = {plural(n_seeds, 'seed')}" if n_seeds > 1 else "n = 1 seed, no spread known"


def metric_cell(results: Results, arm_id: str, metric: str) -> str:
    """Mean ± SD of a score of an arm, for a table."""
    mean, sd = results.number(arm_id, f"{metric}/mean"), results.number(arm_id, f"{metric}/sd")
    return score(mean) if math.isnan(sd) else mean_sd(mean, sd)
