"""The sentences of report and cards: what is best, by how much, how sure, at what cost. Results in, Markdown text out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ablate.errors import some
from ablate.quoting import code, text
from ablate.reporting.evidence.arm_contrasts import ArmGap
from ablate.reporting.evidence.effects import Effect
from ablate.reporting.evidence.paired import seed_sd
from ablate.reporting.results import NOT_MEASURED, Results, prose
from ablate.reporting.statistics.power import MOST_SEEDS, expected_optimism
from ablate.reporting.text.markdown import count, mean_sd, p_value, plural, points, score, shortened
from ablate.study.record import ArmRecord, DataFacts
from ablate.study.trial import SPLITS

_N_NAMED, _LONGEST_NAME = 10, 40
_WITHOUT = {
    "val": "what was chosen was chosen without looking at them",
    "test": "no score below says anything about them",
}
_N_GROUPED = 20


def data_sentence(results: Results) -> str:
    """Which data was really used: one line, or a warning where the fallback stood in."""
    data = results.record.data
    if data.is_fallback and data.is_synthetic:
        return (
            f"**Warning: the images are synthetic stand-ins.** The grid asks for {code(data.requested_source)}, which was not to be had; its declared fallback "
            f"{code(data.source)} ({text(data.title)}) was used. Nothing below says anything about {code(data.requested_source)}."
        )
    if data.is_fallback:
        asked = f"The grid asks for {code(data.requested_source)}; its declared fallback {code(data.source)} ({text(data.title)}) was used."
        return f"**Warning: other data than asked for.** {asked}"
    kind = "synthetic images" if data.is_synthetic else "images"
    return (
        f"Data: **{text(data.title)}** ({code(data.source)}, version {text(data.version)}), {kind}."
    )


def split_sentence(results: Results) -> str:
    """Sizes of the splits, the number of classes, and how the splits were made."""
    data = results.record.data
    sizes = ", ".join(
        f"{split} {data.n_images[split]:,}" for split in SPLITS if split in data.class_counts
    )
    groups = f" regrouped ({regrouped_text(data)})" if data.regrouped else ""
    images = f"images: {sizes}{_labels_an_image(results)}"
    return f"{len(data.class_names)} classes{groups}; {images}. Splits: {text(data.split_rule)}. Image size: {text(results.record.image_size)}."


def classes_sentence(results: Results) -> str:
    """The first classes with their images in each split: whoever named a wrong level of a folder sees it here."""
    data = results.record.data
    splits = [split for split in SPLITS if split in data.class_counts]
    told = [_class_text(data, position, splits) for position in range(len(data.class_names))]
    return (
        f"Classes, images in {' / '.join(splits)}: {some(told, most=_N_NAMED)}." if splits else ""
    )


def _class_text(data: DataFacts, position: int, splits: Sequence[str]) -> str:
    counts = [f"{data.class_counts[split][position]:,}" for split in splits]
    return f"{code(shortened(data.class_names[position], _LONGEST_NAME))} {' / '.join(counts)}"


def absent_sentences(results: Results) -> list[str]:
    """A warning for each of val and test that lacks classes, or in which one class stands alone: what its scores say nothing about."""
    data = results.record.data
    told = []
    for split, consequence in _WITHOUT.items():
        counts = data.class_counts.get(split, ())
        absent = [code(name) for name, n in zip(data.class_names, counts, strict=False) if n == 0]
        if absent:
            told.append(
                f"**{plural(len(absent), 'class')} without an image in {split}: {consequence}.** {some(absent, most=_N_NAMED)}."
            )
        if len(counts) - len(absent) == 1:
            told.append(
                f"**{split} holds images of one class alone: its scores are of telling nothing apart, however high.**"
            )
    return told


def regrouped_text(data: DataFacts) -> str:
    """Which classes of the source each class took: `good = nominal; defect = local, global`."""
    return "; ".join(
        f"{code(new)} = {some(list(map(code, names)), most=_N_GROUPED)}"
        for new, names in data.regrouped.items()
    )


def _labels_an_image(results: Results) -> str:
    """How many on average, where an image may have several, or none."""
    data = results.record.data
    if not data.image_counts:
        return ""
    n_labels = sum(sum(counts) for counts in data.class_counts.values())
    return f"; {n_labels / sum(data.n_images.values()):.2f} labels an image"


def design_sentence(results: Results) -> str:
    """Arms, seeds, and how many trials ended how."""
    states = results.trials["state"].value_counts()
    told = ", ".join(f"{states[state]} {state.lower()}" for state in sorted(states.index))
    record = results.record
    further = (
        f" Noise floor: the baseline with {plural(len(record.noise_seeds), 'further seed')}."
        if record.noise_seeds
        else ""
    )
    return f"{plural(len(record.arms), 'arm')} x {plural(len(record.seeds), 'seed')} = {plural(len(results.trials), 'trial')}: {told}.{further}"


def claims_sentence(results: Results) -> str:
    """Which levels matter, by how much and how surely; or that nothing can be claimed."""
    tested = results.effects.n_tests
    pilot = results.record.pilot
    if pilot is not None and pilot.kind == "search":
        return "What matters: not asked. A search looks for good arms; which axis does what, a design that chooses cells before training can tell."
    if not tested:
        return "What matters: nothing can be tested, because fewer than 2 seeds of comparable arms completed."
    claimed = [
        effect
        for effect in results.effects.all
        if effect.is_claimed and effect.metric == results.effects.primary
    ]
    family = f"{plural(tested, 'comparison')} tested, Holm-corrected"
    if not claimed:
        return f"What matters: no effect can be claimed ({family}). {_smallest_found(results)}"
    told = "; ".join(
        f"{code(effect.comparison.name)} {points(effect.estimate)} points of {prose(results.effects.primary)} ({_interval_text(effect)}, {p_value(effect.p_holm)})"
        for effect in sorted(claimed, key=lambda effect: -abs(effect.estimate))[:3]
    )
    more = f"; {len(claimed) - 3} more below" if len(claimed) > 3 else ""
    return f"What matters: {told}{more}. {family[:1].upper()}{family[1:]}; everything else cannot be told from no effect."


def _smallest_found(results: Results) -> str:
    sizes = [
        effect.smallest_effect
        for effect in results.effects.mains
        if effect.metric == results.effects.primary and not math.isnan(effect.test.p)
    ]
    known = [size for size in sizes if math.isfinite(size)]
    if not known:
        return f"With {plural(len(results.record.seeds), 'seed')} this design could not have shown an effect of any size."
    sizes_text = f"{_points_of(min(known))} to {_points_of(max(known))} points or more (power 80 %)"
    return f"This design would have shown main effects of {sizes_text}, where they are alike beside every level of the other axes."


def best_sentence(results: Results) -> str:
    """The champion with its scores; says so where nothing completed."""
    champion = results.champion
    if champion is None:
        return "No trial completed, so there is no best arm."
    select_by, n_seeds = results.record.select_by, int(results.number(champion.arm_id, "n_seeds"))
    return (
        f"Best arm by mean {prose(select_by)} over {plural(n_seeds, 'seed')}: **{code(champion.name)}**, {_of(results, champion, select_by)} on val; "
        f"on {prose(results.effects.primary)} {_of(results, champion, results.effects.primary)} and {results.task.secondary_prose} {_of(results, champion, results.effects.secondary)} ({_spread(n_seeds)})."
    )


def gap_sentence(results: Results) -> str:
    """The champion against the baseline, paired by seed, with the noise floor beside it and what it costs."""
    champion, baseline = results.champion, results.baseline
    if champion is None or baseline is None:
        return ""
    if champion.arm_id == baseline.arm_id:
        return f"The baseline itself is the best arm: no variation beat it on val. {noise_sentence(results)}"
    gap = gap_to_baseline(results, champion)
    if gap is None:
        return f"Its gap to the baseline {code(baseline.name)} is not measured: no seed completed in both."
    return f"Against the baseline {code(baseline.name)}: {gap_text(results, gap)}. {noise_sentence(results)}{_cost(results)}"


def gap_to_baseline(results: Results, arm: ArmRecord) -> ArmGap | None:
    """An arm against the baseline; None where they share no complete seed."""
    return next((gap for gap in results.to_baseline if gap.arm_id == arm.arm_id), None)


def noise_sentence(results: Results) -> str:
    """The noise floor with where it comes from."""
    floor = results.noise_floor
    if math.isnan(floor.sd):
        return f"Noise floor: {NOT_MEASURED}."
    where = "the baseline's seeds" if floor.is_of_the_baseline else "seeds, in the middle arm"
    return f"Noise floor: SD {100 * floor.sd:.1f} points over {where} (n = {plural(floor.n_trials, 'trial')})."


def _cost(results: Results) -> str:
    """What the champion trains beside the baseline."""
    champion, baseline = results.champion, results.baseline
    if (
        champion is None
        or baseline is None
        or math.isinf(_trainable(results, champion))
        or math.isinf(_trainable(results, baseline))
    ):
        return ""
    seconds = [results.number(arm.arm_id, "time/train_s/mean") for arm in (champion, baseline)]
    time = (
        ""
        if any(map(math.isnan, seconds))
        else f" and {seconds[0]:,.1f} s of training instead of {seconds[1]:,.1f} s"
    )
    trained, usual = count(_trainable(results, champion)), count(_trainable(results, baseline))
    return f" It trains {f'as many parameters ({trained})' if trained == usual else f'{trained} parameters instead of {usual}'}{time}."


def gap_text(results: Results, gap: ArmGap) -> str:
    """Size, interval and what they allow to say of an arm's gap to another."""
    paired = f"paired over {plural(gap.n_seeds, 'seed')}"
    if math.isnan(gap.low):
        return f"{points(gap.difference)} points of {prose(results.effects.primary)}, {paired}; no spread is known, so it cannot be told apart from seed noise"
    told = (
        "the interval leaves out 0"
        if gap.low > 0 or gap.high < 0
        else "it cannot be told apart from no difference"
    )
    return f"{points(gap.difference)} points of {prose(results.effects.primary)} (95 % interval {points(gap.low)} to {points(gap.high)}), {paired}; {told}"


def optimism_sentence(results: Results) -> str:
    """How much of the champion's val score is the luck of being picked."""
    select_by, champion = results.record.select_by, results.champion
    sd = seed_sd(results.trials, select_by)
    if champion is None or math.isnan(sd):
        return ""
    n_seeds, n_arms = (
        int(results.number(champion.arm_id, "n_seeds")),
        int((results.arms["n_seeds"] > 0).sum()),
    )
    optimism = expected_optimism(sd, n_arms=n_arms, n_seeds=n_seeds)
    return (
        f"Luck: a trial's {prose(select_by)} has SD {sd:.3f} around the mean of its arm. The best of {n_arms} equal arms with {plural(n_seeds, 'seed')} "
        f"would look {optimism:.3f} better on val than it is; test was not used to choose."
    )


def ties_sentence(results: Results) -> str:
    """Which arms cannot be told apart from the champion, and the one of them that trains the fewest parameters."""
    if results.champion is None or not results.to_champion:
        return ""
    if all(math.isnan(gap.p_holm) for gap in results.to_champion):
        return "Ties: not tested, because no arm has 2 complete seeds; nothing here says that a cheaper arm is as good, or that it is not."
    rule = f"({prose(results.effects.primary)} over shared seeds and images, Holm-corrected)"
    arms = {arm.arm_id: arm for arm in results.record.arms}
    tied = [arms[gap.arm_id] for gap in results.to_champion if gap.is_tied]
    if not tied:
        return f"Ties: none of the {plural(len(results.to_champion), 'other arm')} is indistinguishable from it {rule}."
    cheapest = min(
        [results.champion, *tied],
        key=lambda arm: (
            _trainable(results, arm),
            -results.number(arm.arm_id, f"{results.effects.primary}/mean"),
        ),
    )
    named = some([code(arm.name) for arm in tied], most=4)
    if math.isinf(_trainable(results, cheapest)):
        which = ""
    elif cheapest is results.champion:
        which = "; the best arm itself trains the fewest parameters of them"
    else:
        which = f", of which {code(cheapest.name)} trains the fewest parameters ({count(_trainable(results, cheapest))})"
    return f"Ties: {len(tied)} of {plural(len(results.to_champion), 'other arm')} indistinguishable from it {rule}: {named}{which}."


def axis_sentences(results: Results, axis: str) -> list[str]:
    """One sentence for each level of an axis: its mean paired difference, interval, p and verdict."""
    return [
        _level_sentence(results, effect)
        for effect in results.effects.of_axis(axis, results.effects.primary)
    ]


def share_sentence(results: Results, axis: str) -> str:
    """How much of the variance of the primary metric the axis explains."""
    shares = [effect.share for effect in results.effects.of_axis(axis, results.effects.primary)]
    if not shares or math.isnan(shares[0]):
        return f"Share of the variance of {prose(results.effects.primary)} (omega squared): {NOT_MEASURED}."
    return f"Share of the variance of {prose(results.effects.primary)} (omega squared): {100 * shares[0]:.0f} %."


def _level_sentence(results: Results, effect: Effect) -> str:
    comparison = effect.comparison
    compared = f"{code(comparison.levels[0])} against {code(comparison.against[0])}"
    same = (
        f" {plural(comparison.n_same_arm, 'cell')} left out: both levels are the same arm there."
        if comparison.n_same_arm
        else ""
    )
    if effect.n_pairs == 0:
        return f"{compared}: nothing to compare, no pair of complete trials differs in this axis alone.{same}"
    spread = "" if math.isnan(effect.sd_of_pairs) else f", SD {100 * effect.sd_of_pairs:.1f}"
    secondary = results.effects.of(comparison, results.effects.secondary)
    told = (
        NOT_MEASURED
        if math.isnan(secondary.estimate)
        else f"{points(secondary.estimate)} points{_brackets(secondary)}"
    )
    return (
        f"{compared}: **{points(effect.estimate)} points** of {prose(results.effects.primary)}{_brackets(effect)} on average over {plural(effect.n_pairs, 'pair')}{spread} "
        f"(higher in {effect.n_higher}); {effect_verdict(effect)}. {results.task.secondary_prose}: {told}.{same}"
    )


def effect_verdict(effect: Effect) -> str:
    """What may be said of an effect, and what the design could have shown."""
    if effect.is_claimed:
        return "told apart from no effect"
    if math.isnan(effect.test.p):
        return "one seed cannot tell it apart from seed noise"
    if abs(effect.estimate) >= effect.smallest_effect:
        spread = f"its SD over pairs is {100 * effect.sd_of_pairs:.1f}"
        return f"not claimed: a gap so large would be if it were alike beside every level of the other axes, but {spread}"
    size = (
        "no size of effect could have been shown"
        if math.isinf(effect.smallest_effect)
        else f"{_points_of(effect.smallest_effect)} points could have been shown"
    )
    seeds = effect.seeds_for_this_gap
    wanted = (
        f"not even {MOST_SEEDS} seeds would show a gap as small as this"
        if seeds is None
        else f"a gap of this size would need {seeds} seeds"
    )
    return f"cannot be told from no effect; with {plural(effect.n_seeds, 'seed')} {size}" + (
        f", {wanted}" if seeds is None or seeds > effect.n_seeds else ""
    )


def _brackets(effect: Effect) -> str:
    if math.isnan(effect.interval.low):
        return ""
    return f" ({_interval_text(effect)}; {p_value(effect.test.p)}, corrected {p_value(effect.p_holm).removeprefix('p ')})"


def _interval_text(effect: Effect) -> str:
    if math.isnan(effect.interval.low):
        return "no interval"
    return f"95 % interval {points(effect.interval.low)} to {points(effect.interval.high)}"


def _points_of(size: float) -> str:
    return f"{100 * size:.1f}"


def check_sentence(results: Results) -> str:
    """What the tests take as independent, and why."""
    check = results.effects.seed_check
    if math.isnan(check.p):
        return "The design leaves nothing to check whether levels fare alike in every seed; the tests assume it."
    told = f"F({check.df[0]}, {check.df[1]}) = {check.f:.2f}, {p_value(check.p)}"
    if check.is_seed_the_unit:
        return f"Levels do not fare alike in every seed ({told}): only whole seeds are taken as independent, in all intervals and p."
    return f"Nothing speaks against levels faring alike in every seed ({told}): pairs of different arms in one seed are taken as independent."


def _of(results: Results, arm: ArmRecord, metric: str) -> str:
    return mean_sd(
        results.number(arm.arm_id, f"{metric}/mean"), results.number(arm.arm_id, f"{metric}/sd")
    )


def _trainable(results: Results, arm: ArmRecord) -> float:
    value = results.number(arm.arm_id, "cost/n_trainable/mean")
    return math.inf if math.isnan(value) else value


def _spread(n_seeds: int) -> str:
    return (
        f"mean ± SD, n = {plural(n_seeds, 'seed')}"
        if n_seeds > 1
        else "n = 1 seed, no spread known"
    )


def metric_cell(results: Results, arm_id: str, metric: str) -> str:
    """Mean ± SD of a score of an arm, for a table."""
    mean, sd = results.number(arm_id, f"{metric}/mean"), results.number(arm_id, f"{metric}/sd")
    return score(mean) if math.isnan(sd) else mean_sd(mean, sd)
