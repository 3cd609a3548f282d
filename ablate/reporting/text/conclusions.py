"""What a report concludes: what matters, what is best, by how much, how surely, at what cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ablate import quoting
from ablate.errors import plural, some
from ablate.quoting import code
from ablate.reporting.decision import Decision, decide
from ablate.reporting.evidence.arm_gaps import ArmGap
from ablate.reporting.evidence.effects import Effect
from ablate.reporting.evidence.paired import seed_sd
from ablate.reporting.evidence.scores import score_array
from ablate.reporting.results import NOT_MEASURED, Results, prose
from ablate.reporting.statistics.power import expected_optimism, luck_on_test
from ablate.reporting.statistics.verdict import Verdict
from ablate.reporting.text.effect_sentences import interval_text, sides, verdict_words
from ablate.reporting.text.markdown import count, mean_sd, points
from ablate.study.record import ArmRecord

_ALL_TRUE = "All these verdicts are true together in 95 % of such studies"
# a summary is read at a glance: what is left out is counted, and stands in the tables below
_N_CLAIMED = 3
_N_TIED = 4


def claims_sentence(results: Results) -> str:
    """Which levels matter, by how much and how surely; or that nothing is settled."""
    pilot = results.record.pilot
    # scores chose which cells were trained, so no test of them holds what it promises
    if pilot is not None and pilot.kind == "search":
        return (
            "What matters: not tested. A search looks for good arms; "
            "what each axis changes takes a design that chooses its cells before training."
        )
    tested = []
    for effect in results.effects.promised:
        if effect.verdict is not Verdict.UNKNOWN:
            tested.append(effect)
    if not tested:
        return (
            "What matters: nothing can be tested, "
            "because fewer than 2 seeds of comparable arms completed."
        )
    settled = []
    others = []
    for effect in tested:
        if effect.judged.excludes_zero:
            settled.append(effect)
        else:
            others.append(effect)
    if not settled:
        # a reader of "nothing is certain" must learn what would have been found
        rest = _rest_text(others)
        return f"What matters: no difference is certain ({rest}). {_detectable_sizes(results)}"
    return _settled_claims(settled, others)


def _settled_claims(settled: Sequence[Effect], others: Sequence[Effect]) -> str:
    """The largest of the settled effects, and how far the `others` are settled."""
    # by size, not by p: p also rewards a comparison for having many pairs
    largest = sorted(settled, key=lambda effect: -abs(effect.estimate))
    claims = list(map(_claim_text, largest[:_N_CLAIMED]))
    if len(settled) > _N_CLAIMED:
        claims.append(f"{len(settled) - _N_CLAIMED} more below")
    n_tested = len(settled) + len(others)
    together = f"{_ALL_TRUE} ({plural(n_tested, 'comparison')})."
    if others:
        together = f"The other comparisons: {_rest_text(others)}. {together}"
    return f"What matters: {'; '.join(claims)}. {together}"


def _rest_text(effects: Sequence[Effect]) -> str:
    """How many of the comparisons without a sure difference lie within the margin, or are open."""
    n_within = sum(effect.verdict is Verdict.NO_LARGER for effect in effects)
    n_open = len(effects) - n_within
    words = []
    if n_within:
        words.append(f"{n_within} within the margin")
    if n_open:
        words.append(f"{n_open} undecided")
    return ", ".join(words)


def _claim_text(effect: Effect) -> str:
    size = f"{points(effect.estimate)} points of {prose(effect.metric)}"
    return f"{_claim_words(effect)}, {size} ({interval_text(effect.judged)})"


def _claim_words(effect: Effect) -> str:
    """`freeze_depth=-1` is better than `all`; a question is named, an interaction is told apart."""
    comparison = effect.comparison
    verdict = effect.verdict.value
    if comparison.asked:
        first, second = sides(comparison)
        return f"{quoting.text(comparison.asked)}: {first} is {verdict} than {second}"
    name = code(comparison.name)
    if comparison.is_interaction:
        return f"{name} together are {verdict} than the sum of both"
    return f"{name} is {verdict} than {code(comparison.against[0])}"


def _detectable_sizes(results: Results) -> str:
    """How large an effect must be for this design to find it."""
    sizes = []
    for effect in results.effects.promised:
        is_interaction = effect.comparison.is_interaction
        # an interaction's size is of a difference of differences: not to be read beside the others
        if not is_interaction and math.isfinite(effect.smallest_effect):
            sizes.append(100 * effect.smallest_effect)
    if not sizes:
        n_seeds = plural(len(results.record.seeds), "seed")
        return f"{n_seeds} cannot settle anything in this design."
    least = f"{min(sizes):.1f}"
    most = f"{max(sizes):.1f}"
    # compared as printed: nobody should read "from 2.1 to 2.1"
    smallest = least
    if most != least:
        smallest = f"{least} to {most}"
    return (
        f"With a power of 80 % this design finds effects from {smallest} points upwards, "
        "if they are equal beside every level of the other axes."
    )


def best_sentence(results: Results) -> str:
    """The champion with its scores; says so where nothing completed."""
    champion = results.champion
    if champion is None:
        return "No trial completed, so there is no best arm."
    select_by = results.record.select_by
    n_seeds = int(results.number(champion.arm_id, "n_seeds"))
    selected = metric_cell(results, champion.arm_id, select_by)
    primary = metric_cell(results, champion.arm_id, results.effects.primary)
    secondary = metric_cell(results, champion.arm_id, results.effects.secondary)
    spread = "one seed, so the spread is unknown"
    if n_seeds > 1:
        spread = f"mean ± SD over {n_seeds} seeds"
    return (
        f"Best arm by mean {prose(select_by)}: **{code(results.name(champion.arm_id))}**, "
        f"{selected} on val. It reaches {prose(results.effects.primary)} {primary} "
        f"and {results.task.secondary_prose} {secondary} ({spread})."
    )


def gap_sentence(results: Results) -> str:
    """The champion against the baseline, paired by seed, with the noise floor and the cost."""
    champion = results.champion
    baseline = results.baseline
    if champion is None or baseline is None:
        return ""
    noise = noise_sentence(results)
    # no gap to itself, but the noise is still the yardstick for the others
    if champion.arm_id == baseline.arm_id:
        return f"The baseline itself is the best arm: no other arm scores higher on val. {noise}"
    gap = results.gap_to_baseline(champion.arm_id)
    if gap is None:
        return "Its gap to the baseline is not measured: no seed completed in both."
    against = f"Against the baseline ({code(baseline.name)}): {gap_text(results, gap)}."
    return f"{against} {noise}{_cost(results, champion, baseline)}"


def gap_text(results: Results, gap: ArmGap) -> str:
    """Size and interval of an arm's gap to the baseline, and what may be said of it."""
    size = f"{points(gap.difference)} points of {prose(results.effects.primary)}"
    paired = f"paired over {plural(gap.n_seeds, 'seed')}"
    if math.isnan(gap.judged.low):
        return f"{size}, {paired}; the spread is unknown, so this may be seed noise alone"
    verdict = verdict_words(gap.judged, gap.seeds_to_settle, margin=results.record.margin)
    return f"{size} ({interval_text(gap.judged)}), {paired}; {verdict}"


def noise_sentence(results: Results) -> str:
    """The noise floor with where it comes from."""
    # the baseline's seeds where a grid asks for them (`noise_floor`), else the median over the arms
    floor = results.noise_floor
    if math.isnan(floor.sd):
        return f"Noise floor: {NOT_MEASURED}."
    source = "median over the arms"
    if floor.is_of_the_baseline:
        source = "of the baseline"
    n_trials = plural(floor.n_trials, "trial")
    return (
        f"Noise floor: a trial varies from seed to seed by SD {100 * floor.sd:.1f} points "
        f"({source}, {n_trials}{_also_by_split(results)})."
    )


def _also_by_split(results: Results) -> str:
    if results.record.data.splits is None:
        return ""
    return "; other images are tested by each"


def _cost(results: Results, champion: ArmRecord, baseline: ArmRecord) -> str:
    """What the champion trains beside the baseline; empty where either was not measured."""
    trainable = _trainable(results, champion)
    usual = _trainable(results, baseline)
    if math.isinf(trainable) or math.isinf(usual):
        return ""
    parameters = f"{count(trainable)} parameters instead of {count(usual)}"
    if trainable == usual:
        parameters = f"as many parameters ({count(trainable)})"
    seconds = results.number(champion.arm_id, "time/train_s/mean")
    usual_seconds = results.number(baseline.arm_id, "time/train_s/mean")
    if math.isnan(seconds) or math.isnan(usual_seconds):
        return f" It trains {parameters}."
    return f" It trains {parameters}, in {seconds:,.1f} s instead of {usual_seconds:,.1f} s."


def _trainable(results: Results, arm: ArmRecord) -> float:
    """Trained parameters; infinite where not measured, so that such an arm is never cheapest."""
    n_trainable = results.number(arm.arm_id, "cost/n_trainable/mean")
    if math.isnan(n_trainable):
        return math.inf
    return n_trainable


def optimism_sentence(results: Results) -> str:
    """How much of the champion's val score is the luck of being picked."""
    champion = results.champion
    select_by = results.record.select_by
    # with the part that all arms of a seed share: it moves the means that were compared, too
    sd = seed_sd(results.trials, select_by)
    if champion is None or math.isnan(sd):
        return ""
    # Only arms that completed competed; one that failed could not have been picked by luck.
    n_seeds = int(results.number(champion.arm_id, "n_seeds"))
    n_arms = int((results.arms["n_seeds"] > 0).sum())
    optimism = expected_optimism(sd, n_arms=n_arms, n_seeds=n_seeds)
    return (
        f"Selection bias: of {plural(n_arms, 'equal arm')} with {plural(n_seeds, 'seed')} the best "
        f"on val scores {optimism:.3f} too high there, on average "
        f"(a trial's {prose(select_by)} has SD {sd:.3f} around its arm). {_luck(results)}"
    )


def _luck(results: Results) -> str:
    """What the chosen arm's test score owes to luck that val and test share."""
    record = results.record
    unused = "Test was not used to choose"
    val = score_array(record, results.trials, record.select_by)
    test = score_array(record, results.trials, results.effects.primary)
    correlation, gain = luck_on_test(val, test)
    if math.isnan(correlation):
        return f"{unused}."
    return (
        f"{unused}, but a trial that is lucky on val tends to be lucky on test "
        f"(correlation {correlation:.2f}): about {100 * gain:.1f} points of the best arm's score."
    )


def ties_sentence(results: Results) -> str:
    """Which arms may be the best, and the cheapest of them."""
    decision = decide(results)
    # with one seed every arm may be the best: a sentence that says nothing
    if decision is None or results.effects.n_tests == 0:
        return ""
    # in the order of the grid: an order by score would look like a ranking that is not shown
    tied = []
    for arm in results.record.arms:
        if arm.arm_id in results.may_be_best:
            tied.append(code(results.name(arm.arm_id)))
    metric = prose(results.effects.primary)
    named = some(tied, most=_N_TIED)
    if len(tied) == 1:
        return f"Truly best by {metric} (95 % sure): {named}.{_cheapest_of(decision)}"
    among = f"{len(tied)} of {plural(decision.n_scored, 'arm')}"
    return (
        f"Truly best by {metric} is one of these {among} (95 % sure): "
        f"{named}.{_cheapest_of(decision)}"
    )


def _cheapest_of(decision: Decision) -> str:
    """A sentence on which of the best arm and its ties trains the fewest parameters."""
    cheapest = decision.cheapest
    if cheapest is None:
        return ""
    if cheapest.arm == decision.use.arm:
        return " No other trains fewer parameters than the best arm on val."
    n_trained = count(cheapest.n_trained)
    return f" The cheapest of them is {code(cheapest.name)}: it trains {n_trained} parameters."


def metric_cell(results: Results, arm_id: str, metric: str, *, digits: int = 3) -> str:
    """Mean ± SD over the seeds of a score or a cost of an arm, for a table."""
    mean = results.number(arm_id, f"{metric}/mean")
    sd = results.number(arm_id, f"{metric}/sd")
    return mean_sd(mean, sd, digits=digits)
