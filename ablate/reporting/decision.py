"""What a reader should do after a study: what to use, how sure that is, what would settle the rest.

Computed once from the results, and the same on every page that says it.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.grid.seeds import seeds_text
from ablate.reporting.evidence.arm_gaps import ArmGap
from ablate.reporting.evidence.comparisons import Kind
from ablate.reporting.evidence.effects import Effect
from ablate.reporting.results import Results
from ablate.reporting.statistics.verdict import Verdict
from ablate.study.record import ArmRecord

FEWEST_SEEDS = 3
"""With two, an interval is so wide that little can be learned from it."""


@dataclass(frozen=True)
class Option:
    """An arm that could be used."""

    arm: ArmRecord
    name: str
    score: float
    """Mean of the primary metric on test."""
    low: float
    """95 % interval of the mean; NaN with one seed."""
    high: float
    secondary: float
    """Mean of the secondary metric on test."""
    n_seeds: int
    gap: ArmGap | None
    """To the baseline; None for the baseline itself, and where they share no complete seed."""
    n_trained: float
    """Trained parameters; NaN where not measured."""
    train_s: float
    """Seconds of training; NaN where not measured."""


@dataclass(frozen=True)
class OpenQuestion:
    """A comparison that is not settled, and how many seeds would do."""

    name: str
    """Of the arm, the question or the level."""
    n_seeds: int | None
    """In all; None where more than `power.MOST_SEEDS` would be needed, or nobody can tell."""
    is_of_best_arm: bool = False
    """Whether it is the best arm against the baseline."""


@dataclass(frozen=True)
class Decision:
    """The answer of a study."""

    use: Option
    """The best arm on val."""
    baseline: Option | None
    cheapest: Option | None
    """Of the arms that may be the best, the one that trains the fewest parameters; None where that
    was not measured."""
    n_candidates: int
    """Arms among which the best one is, in 95 % of studies."""
    n_scored: int
    open_questions: tuple[OpenQuestion, ...]
    """The best arm against the baseline first, then declared questions or main effects, the
    cheapest to settle first."""
    kind: Kind
    """What `n_settled` and `n_compared` count: questions where the grid declares some."""
    n_settled: int
    """Those that have a verdict."""
    n_compared: int
    """Those that could be compared."""
    settled_next: OpenQuestion | None
    """The first open question that some number of seeds would settle."""
    settling_command: str | None
    """What to type to settle it; with one seed, to learn anything at all."""
    spoken_against: Effect | None
    """The largest settled difference that the arm to use is on the worse side of, where it is not
    shown to be better than the baseline; None where no settled answer speaks against it."""


def decide(results: Results) -> Decision | None:
    """Return the answer; None where no trial completed."""
    champion = results.champion
    if champion is None:
        return None
    use = _option(results, champion)
    baseline = results.baseline
    candidates = []
    for arm_id in results.arms["arm_id"]:
        # in the order of val, which is that of the frame
        if arm_id in results.may_be_best:
            candidates.append(results.arm_of_id[arm_id])
    # of arms that cost the same: the best on val, else what one would have used anyway
    preferred = [champion]
    if baseline in candidates:
        preferred.append(baseline)
    compared = _compared(results)
    questions = _open_questions(use, compared)
    settled_next = _first_with_a_price(questions)
    of_baseline = None
    if baseline is not None:
        of_baseline = _option(results, baseline)
    return Decision(
        use=use,
        baseline=of_baseline,
        cheapest=_cheapest(results, [*preferred, *candidates]),
        n_candidates=len(candidates),
        n_scored=int((results.arms["n_seeds"] > 0).sum()),
        open_questions=questions,
        kind="question" if results.effects.questions else "main effect",
        n_settled=sum(effect.verdict not in _UNSETTLED for effect in compared),
        n_compared=len(compared),
        settled_next=settled_next,
        settling_command=_settling_command(results, settled_next),
        spoken_against=_spoken_against(results, use, compared),
    )


_UNSETTLED = (Verdict.UNDECIDED, Verdict.UNKNOWN)


def _option(results: Results, arm: ArmRecord) -> Option:
    metric = results.effects.primary
    return Option(
        arm=arm,
        name=results.name(arm.arm_id),
        score=results.number(arm.arm_id, f"{metric}/mean"),
        low=results.number(arm.arm_id, f"{metric}/low"),
        high=results.number(arm.arm_id, f"{metric}/high"),
        secondary=results.number(arm.arm_id, f"{results.effects.secondary}/mean"),
        n_seeds=int(results.number(arm.arm_id, "n_seeds")),
        gap=results.gap_to_baseline(arm.arm_id),
        n_trained=results.number(arm.arm_id, "cost/n_trainable/mean"),
        train_s=results.number(arm.arm_id, "time/train_s/mean"),
    )


def _compared(results: Results) -> list[Effect]:
    """The questions, or the main effects where none is declared, that have pairs to compare."""
    compared = []
    for effect in results.effects.promised:
        if effect.n_pairs and not effect.comparison.is_interaction:
            compared.append(effect)
    return compared


def _spoken_against(results: Results, use: Option, compared: Sequence[Effect]) -> Effect | None:
    """The largest settled answer against the arm: val chose it, and test may disagree with val."""
    if use.gap is not None and use.gap.judged.verdict is Verdict.BETTER:
        # its own difference to the baseline says more than a mean over its companions
        return None
    # contrasts name arms by their places in the record
    place = results.record.arms.index(use.arm)
    against = []
    for effect in compared:
        if effect.judged.excludes_zero and place in _worse_arms(effect):
            against.append(effect)
    return max(against, key=lambda effect: abs(effect.estimate), default=None)


def _worse_arms(effect: Effect) -> set[int]:
    """Places of the arms on the worse side of a settled comparison of pairs."""
    # cells are (level, other level): "worse" is said of the first of them
    worse_side = 0 if effect.verdict is Verdict.WORSE else 1
    return {cell[worse_side] for cell in effect.comparison.contrast.cells}


def _cheapest(results: Results, arms: Sequence[ArmRecord]) -> Option | None:
    """The one of `arms` that trains the fewest parameters; of equal ones, the first.

    So their order decides, and no test score chooses between arms that cost the same.
    """

    def n_trained(arm: ArmRecord) -> float:
        n = results.number(arm.arm_id, "cost/n_trainable/mean")
        # an arm that nobody measured is never the cheapest
        if math.isnan(n):
            return math.inf
        return n

    cheapest = _option(results, min(arms, key=n_trained))
    # ... unless none of them was measured
    if math.isnan(cheapest.n_trained):
        return None
    return cheapest


def _open_questions(use: Option, compared: Sequence[Effect]) -> tuple[OpenQuestion, ...]:
    first = []
    same = None
    # first, whatever it costs: it is what the recommendation rests on
    if use.gap is not None and use.gap.judged.verdict in _UNSETTLED:
        first.append(OpenQuestion(use.name, use.gap.seeds_to_settle, is_of_best_arm=True))
        # a main effect may be this very comparison, and is not open twice
        same = use.gap.effect
    others = []
    for effect in compared:
        if effect.verdict in _UNSETTLED and effect is not same:
            others.append(OpenQuestion(effect.comparison.name, effect.seeds_to_settle))
    # stable, so equally cheap ones keep the order of the grid; None is beyond all prices
    others.sort(key=lambda question: question.n_seeds or math.inf)
    return (*first, *others)


def _first_with_a_price(questions: Sequence[OpenQuestion]) -> OpenQuestion | None:
    for question in questions:
        if question.n_seeds is not None:
            return question
    return None


def _settling_command(results: Results, question: OpenQuestion | None) -> str | None:
    record = results.record
    # one seed: no comparison has a price yet, but two more seeds make intervals possible
    if len(record.seeds) < 2:
        return command_with_seeds(record.command, record.seeds, FEWEST_SEEDS)
    if question is None or question.n_seeds is None:
        return None
    return command_with_seeds(record.command, record.seeds, question.n_seeds)


# a study that was continued has seeds in its command already: they are replaced, not added
_SEEDS_OPTION = re.compile(r" (?:SEEDS=\S+|--seeds[ =]\S+)")


def command_with_seeds(command: str, seeds: Sequence[int], n_seeds: int) -> str:
    """The command of a study with `n_seeds` seeds: those that it had, and the next free ones."""
    wanted = list(seeds)
    candidate = 0
    # the smallest numbers that are free: finished trials of the seeds before are not trained again
    while len(wanted) < n_seeds:
        if candidate not in wanted:
            wanted.append(candidate)
        candidate += 1
    listed = shlex.quote(seeds_text(wanted))
    bare = _SEEDS_OPTION.sub("", command)
    if bare.startswith("make "):
        return f"{bare} SEEDS={listed}"
    return f"{bare} --seeds {listed}"
