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
from ablate.reporting.evidence.effects import Effect
from ablate.reporting.results import Results
from ablate.reporting.statistics.power import MOST_SEEDS
from ablate.reporting.statistics.verdict import Judged, Verdict
from ablate.study.record import ArmRecord
from ablate.study.trial import is_better


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
    n_seeds: int | None
    """In all; None where more than `MOST_SEEDS` would be needed, or nobody can tell."""


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
    """The best arm against the baseline first, then main effects, the cheapest to settle first."""
    n_settled: int
    """Main effects that have a verdict."""
    n_mains: int
    """Main effects that could be compared."""
    settling_command: str | None
    """What to type to settle the first open question; None where no number of seeds would."""


def decide(results: Results) -> Decision | None:
    """Return the answer; None where no trial completed."""
    champion = results.champion
    if champion is None:
        return None
    use = _option(results, champion)
    baseline = results.baseline
    candidates = [arm for arm in results.record.arms if arm.arm_id in results.may_be_best]
    mains = _primary_mains(results)
    questions = _open_questions(results, use, mains)
    return Decision(
        use=use,
        baseline=None if baseline is None else _option(results, baseline),
        cheapest=_cheapest(results, [champion, *candidates]),
        n_candidates=len(candidates),
        n_scored=int((results.arms["n_seeds"] > 0).sum()),
        open_questions=questions,
        n_settled=sum(effect.verdict not in _UNSETTLED for effect in mains),
        n_mains=len(mains),
        settling_command=_settling_command(results, questions),
    )


_UNSETTLED = (Verdict.UNDECIDED, Verdict.UNKNOWN)


def _option(results: Results, arm: ArmRecord) -> Option:
    metric = results.effects.primary
    gaps = [gap for gap in results.to_baseline if gap.arm_id == arm.arm_id]
    return Option(
        arm=arm,
        name=results.name(arm.arm_id),
        score=results.number(arm.arm_id, f"{metric}/mean"),
        low=results.number(arm.arm_id, f"{metric}/low"),
        high=results.number(arm.arm_id, f"{metric}/high"),
        secondary=results.number(arm.arm_id, f"{results.effects.secondary}/mean"),
        n_seeds=int(results.number(arm.arm_id, "n_seeds")),
        gap=gaps[0] if gaps else None,
        n_trained=results.number(arm.arm_id, "cost/n_trainable/mean"),
        train_s=results.number(arm.arm_id, "time/train_s/mean"),
    )


def _primary_mains(results: Results) -> list[Effect]:
    mains = []
    for effect in results.effects.mains:
        if effect.metric == results.effects.primary and effect.n_pairs:
            mains.append(effect)
    return mains


def _cheapest(results: Results, arms: Sequence[ArmRecord]) -> Option | None:
    """The first of `arms` that trains the fewest parameters; of equal ones, the better on test."""
    sign = 1 if is_better(results.effects.primary, 0.0, than=1.0) else -1

    def cost(arm: ArmRecord) -> tuple[float, float]:
        option = _option(results, arm)
        n_trained = math.inf if math.isnan(option.n_trained) else option.n_trained
        return n_trained, sign * option.score

    cheapest = _option(results, min(arms, key=cost))
    return None if math.isnan(cheapest.n_trained) else cheapest


def _open_questions(
    results: Results, use: Option, mains: Sequence[Effect]
) -> tuple[OpenQuestion, ...]:
    questions = []
    n_planned = len(results.record.seeds)
    if use.gap is not None and use.gap.judged.verdict in _UNSETTLED:
        n_seeds = seeds_to_exclude_zero(use.gap.judged)
        questions.append(OpenQuestion(f"{use.name} against the baseline", n_seeds))
    effects = []
    for effect in mains:
        if effect.verdict in _UNSETTLED:
            effects.append(OpenQuestion(effect.comparison.name, effect.seeds_to_settle))
    effects.sort(key=lambda question: question.n_seeds or math.inf)
    # with as many seeds as there are nothing new is learned, whatever an estimate says
    return tuple(
        OpenQuestion(question.name, _more_than(n_planned, question.n_seeds))
        for question in (*questions, *effects)
    )


def _more_than(n_planned: int, n_seeds: int | None) -> int | None:
    return None if n_seeds is None else max(n_seeds, n_planned + 1)


def seeds_to_exclude_zero(judged: Judged) -> int | None:
    """Return the seeds after which an interval would exclude 0, were the difference what it is.

    The images' part of the error stays. None beyond `MOST_SEEDS`, and with one seed.
    """
    estimate = judged.estimate
    if math.isnan(judged.low) or estimate.value == 0:
        return None
    quantile = (judged.high - estimate.value) / estimate.se
    images = 0.0 if math.isnan(estimate.se_images) else estimate.se_images
    room = (estimate.value / quantile) ** 2 - images**2
    if room <= 0:
        return None
    n_seeds = math.ceil(estimate.n_seeds * estimate.se_seeds**2 / room)
    return n_seeds if n_seeds <= MOST_SEEDS else None


def _settling_command(results: Results, questions: Sequence[OpenQuestion]) -> str | None:
    for question in questions:
        if question.n_seeds is not None:
            return command_with_seeds(
                results.record.command, results.record.seeds, question.n_seeds
            )
    return None


_SEEDS_OPTION = re.compile(r" (?:SEEDS=\S+|--seeds[ =]\S+)")


def command_with_seeds(command: str, seeds: Sequence[int], n_seeds: int) -> str:
    """The command of a study with `n_seeds` seeds: those that it had, and the next free ones."""
    wanted = list(seeds)
    candidate = 0
    while len(wanted) < n_seeds:
        if candidate not in wanted:
            wanted.append(candidate)
        candidate += 1
    listed = shlex.quote(seeds_text(wanted))
    bare = _SEEDS_OPTION.sub("", command)
    if bare.startswith("make "):
        return f"{bare} SEEDS={listed}"
    return f"{bare} --seeds {listed}"
