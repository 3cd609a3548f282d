"""Every arm against the baseline, and the arms that may be the best.

On test, by the primary metric. What an arm gains over the baseline is judged for all arms at once,
so that the gain of the arm that val chose needs no allowance for having been chosen.

An arm against the baseline may be a declared question or a main effect as well, always so in a
design that changes one axis at a time. One comparison has one answer: the question's, else the main
effect's, else the gap's. Only an explored main effect, beside declared questions, takes the gap's.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ablate.reporting.evidence.effects import Effect, Effects
from ablate.reporting.evidence.judged_metrics import primary_metric
from ablate.reporting.evidence.scores import StudyScores
from ablate.reporting.statistics.best_arm import error_of_each, judge_gaps, may_be_best
from ablate.reporting.statistics.contrast import gap
from ablate.reporting.statistics.estimate import estimates
from ablate.reporting.statistics.power import Design
from ablate.reporting.statistics.seed_variance import Span
from ablate.reporting.statistics.settling import seeds_until_settled
from ablate.reporting.statistics.verdict import ARMS_ALPHA, BEST_ALPHA, Judged
from ablate.study.record import ArmRecord
from ablate.study.trial import is_better_when_low

Pair = tuple[int, ...]
"""(arm, reference), as places in the record."""


@dataclass(frozen=True)
class PairAnswer:
    """What is known of one arm less another one."""

    judged: Judged
    seeds_to_settle: int | None
    """None where it is settled, and beyond `power.MOST_SEEDS`."""
    effect: Effect | None = None
    """The question or main effect that compares the same two arms, whichever way round, and whose
    answer this is."""


@dataclass(frozen=True)
class ArmGap:
    """An arm less the baseline, or another reference, paired by seed."""

    arm_id: str
    answer: PairAnswer

    @property
    def judged(self) -> Judged:
        """The one answer: an effect's, or with an interval that holds with those of all others."""
        return self.answer.judged

    @property
    def effect(self) -> Effect | None:
        """The question or main effect whose answer it is."""
        return self.answer.effect

    @property
    def seeds_to_settle(self) -> int | None:
        """None where it is settled, and beyond `power.MOST_SEEDS`."""
        return self.answer.seeds_to_settle

    @property
    def difference(self) -> float:
        return self.judged.estimate.value

    @property
    def n_seeds(self) -> int:
        """Complete in both arms."""
        return self.judged.estimate.n_seeds


def gaps_to(
    study: StudyScores,
    *,
    reference: ArmRecord,
    order: Sequence[str],
    alpha: float = ARMS_ALPHA,
    answered: Sequence[Effect] = (),
) -> tuple[ArmGap, ...]:
    """Compare every other arm that shares a complete seed with `reference`, in `order`.

    An arm that one of the effects `answered` compares with it has that effect's answer: one
    comparison has one. The others err together in a share `alpha` of studies.
    """
    # 1. who can be compared at all
    compared = _pairs_with(study, reference, order)
    # 2. what a question or main effect has answered: those gaps cost nothing of `alpha`
    answers = pair_answers(answered, primary_metric(study.record))
    # 3. the rest is a family of its own
    rest = []
    for pair in compared.values():
        if pair not in answers:
            rest.append(pair)
    answers |= _judged_together(study, rest, beside=list(compared.values()), alpha=alpha)
    return tuple(ArmGap(arm_id, answers[pair]) for arm_id, pair in compared.items())


def _pairs_with(study: StudyScores, reference: ArmRecord, order: Sequence[str]) -> dict[str, Pair]:
    """arm_id -> (arm, reference), of the arms that share a complete seed with it."""
    scores = study.array(primary_metric(study.record))
    places = study.places
    base = places[reference.arm_id]
    pairs: dict[str, Pair] = {}
    for arm_id in order:
        place = places[arm_id]
        is_in_both = ~np.isnan(scores[[place, base]]).any(axis=0)  # (seeds,)
        # one shared seed is enough for a difference, if not for an interval
        if place != base and is_in_both.any():
            pairs[arm_id] = (place, base)
    return pairs


def _judged_together(
    study: StudyScores, pairs: Sequence[Pair], *, beside: Sequence[Pair], alpha: float
) -> dict[Pair, PairAnswer]:
    """The answers of a family of gaps.

    Those in `beside` lend it their variance: an effect that answers a gap does not make it noisier.
    """
    record = study.record
    metric = primary_metric(record)
    scores = study.array(metric)
    # `beside`, not `pairs`: the noise is that of all gaps, whoever answers them
    span = Span.of(list(itertools.starmap(gap, beside)), scores)
    contrasts = list(itertools.starmap(gap, pairs))
    values = estimates(contrasts, scores, study.replicates.get(metric), span=span)
    margin = record.margin_of_score
    is_lower_better = is_better_when_low(metric)
    judged = judge_gaps(values, alpha=alpha, margin=margin, is_lower_better=is_lower_better)
    # +1 and -1: the weights of a gap have a square of 2
    design = Design(
        square=2.0,
        rank=span.rank,
        alpha=error_of_each(values, alpha=alpha),
        has_own_splits=record.data.splits is not None,
    )
    answers = {}
    for pair, answer in zip(pairs, judged, strict=True):
        n_seeds = seeds_until_settled(answer, design, margin=margin, n_planned=len(record.seeds))
        answers[pair] = PairAnswer(answer, n_seeds)
    return answers


def pair_answers(effects: Sequence[Effect], metric: str) -> dict[Pair, PairAnswer]:
    """The answers of those effects that compare two arms alone, both ways round.

    The first effect of a pair has it.
    """
    answers: dict[Pair, PairAnswer] = {}
    for effect in effects:
        pair = _only_pair(effect)
        if pair and effect.metric == metric:
            answer = PairAnswer(effect.judged, effect.seeds_to_settle, effect)
            # setdefault, because questions come before main effects and keep their answer
            answers.setdefault(pair, answer)
            answers.setdefault(pair[::-1], _exchanged(answer))
    return answers


def with_gaps(effects: Effects, gaps: Sequence[ArmGap], study: StudyScores) -> Effects:
    """The effects, of which the explored ones that compare an arm with the baseline have its gap.

    That is part of what the report promises where a grid declares questions, and they are not.
    """
    # whoever calls this has a baseline, see `judge_study`
    base = study.places[study.record.baseline_arm_id]
    answers: dict[Pair, PairAnswer] = {}
    for arm_gap in gaps:
        pair = (study.places[arm_gap.arm_id], base)
        answers[pair] = arm_gap.answer
        # a main effect names its sides as the grid does, and may have the baseline first
        answers[pair[::-1]] = _exchanged(arm_gap.answer)
    changed = []
    for effect in effects.all:
        # gaps are of the primary metric: effects of the secondary one keep their own answer
        is_explored = effect.is_exploratory and effect.metric == effects.primary
        answer = answers.get(_only_pair(effect))
        if is_explored and answer is not None:
            effect = _answered(effect, answer)
        changed.append(effect)
    return replace(effects, all=tuple(changed))


def _only_pair(effect: Effect) -> Pair:
    """The two arms that an effect compares; empty where it compares more."""
    cells = effect.comparison.contrast.cells
    # an interaction of one matched cell has four arms
    if len(cells) == 1 and len(cells[0]) == 2:
        return cells[0]
    return ()


def _exchanged(answer: PairAnswer) -> PairAnswer:
    return replace(answer, judged=answer.judged.reversed())


def _answered(effect: Effect, answer: PairAnswer) -> Effect:
    return replace(
        effect,
        judged=answer.judged,
        seeds_to_settle=answer.seeds_to_settle,
        # it shows the gap's answer now, which is promised
        is_exploratory=False,
    )


def best_candidates(study: StudyScores) -> frozenset[str]:
    """Return the arm_ids of the arms that may be the best: it is among them in 95 % of studies.

    Arms without a score are left out.
    """
    metric = primary_metric(study.record)
    scores = study.array(metric)
    is_candidate = may_be_best(
        scores,
        study.replicates.get(metric),
        alpha=BEST_ALPHA,
        is_lower_better=is_better_when_low(metric),
    )
    # `may_be_best` never throws out what it cannot judge: an arm that failed would be a candidate
    has_score = np.asarray(~np.isnan(scores).all(axis=1))
    candidates = set()
    for arm_id, place in study.places.items():
        if is_candidate[place] and has_score[place]:
            candidates.add(arm_id)
    return frozenset(candidates)
