"""Every arm against the baseline, and the arms that may be the best.

On test, by the primary metric. What an arm gains over the baseline is judged for all arms at once,
so that the gain of the arm that val chose needs no allowance for having been chosen.

An arm against the baseline may be a declared question or a main effect as well, always so in a
design that changes one axis at a time. One comparison has one answer: the question's, else the main
effect's, else the gap's. Only an explored main effect, beside declared questions, takes the gap's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting.evidence.effects import Effect, Effects, score_array
from ablate.reporting.evidence.judged_metrics import primary_metric
from ablate.reporting.statistics.best_arm import error_of_each, judge_gaps, may_be_best
from ablate.reporting.statistics.contrast import gap
from ablate.reporting.statistics.estimate import Estimate, estimates
from ablate.reporting.statistics.power import Design
from ablate.reporting.statistics.seed_variance import Span
from ablate.reporting.statistics.settling import seeds_until_settled
from ablate.reporting.statistics.verdict import ARMS_ALPHA, BEST_ALPHA, Judged
from ablate.study.record import ArmRecord, StudyRecord
from ablate.study.trial import is_better

Replicates = Mapping[str, NDArray[np.floating]]
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
    record: StudyRecord,
    trials: pd.DataFrame,
    replicates: Replicates,
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
    metric = primary_metric(record)
    scores = score_array(record, trials, metric)
    places = {arm.arm_id: place for place, arm in enumerate(record.arms)}
    base = places[reference.arm_id]
    compared: dict[str, Pair] = {}
    for arm_id in order:
        pair = (places[arm_id], base)
        shares_a_seed = ~np.isnan(scores[list(pair)]).any(axis=0)
        if arm_id != reference.arm_id and shares_a_seed.any():
            compared[arm_id] = pair
    answers = pair_answers(answered, metric)
    rest = [pair for pair in compared.values() if pair not in answers]
    # Gaps lend each other their variance, those too that an effect has answered.
    span = Span.of([gap(*pair) for pair in compared.values()], scores)
    contrasts = [gap(*pair) for pair in rest]
    values = estimates(contrasts, scores, replicates.get(metric), span=span)
    judged = _judged_together(record, values, rank=span.rank, alpha=alpha)
    answers |= dict(zip(rest, judged, strict=True))
    return tuple(ArmGap(arm_id, answers[pair]) for arm_id, pair in compared.items())


def _judged_together(
    record: StudyRecord, gaps: Sequence[Estimate], *, rank: int, alpha: float
) -> list[PairAnswer]:
    """The answers of a family of gaps, whose span has `rank`."""
    margin = record.margin_of_score
    is_lower_better = is_better(primary_metric(record), 0.0, than=1.0)
    judged = judge_gaps(gaps, alpha=alpha, margin=margin, is_lower_better=is_lower_better)
    design = Design(square=2.0, rank=rank, alpha=error_of_each(gaps, alpha=alpha))
    answers = []
    for answer in judged:
        n_seeds = seeds_until_settled(answer, design, margin=margin, n_planned=len(record.seeds))
        answers.append(PairAnswer(answer, n_seeds))
    return answers


def pair_answers(effects: Sequence[Effect], metric: str) -> dict[Pair, PairAnswer]:
    """The answers of those effects that compare two arms alone, both ways round.

    The first effect of a pair has it.
    """
    answers: dict[Pair, PairAnswer] = {}
    for effect in effects:
        cells = effect.comparison.contrast.cells
        if effect.metric != metric or len(cells) != 1 or len(cells[0]) != 2:
            continue
        seeds = effect.seeds_to_settle
        answers.setdefault(cells[0], PairAnswer(effect.judged, seeds, effect))
        exchanged = PairAnswer(effect.judged.reversed(), seeds, effect)
        answers.setdefault(cells[0][::-1], exchanged)
    return answers


def with_gaps(effects: Effects, gaps: Sequence[ArmGap], record: StudyRecord) -> Effects:
    """The effects, of which the explored ones that compare an arm with the baseline have its gap.

    That is part of what the report promises where a grid declares questions, and they are not.
    """
    places = {arm.arm_id: place for place, arm in enumerate(record.arms)}
    base = places[record.baseline_arm_id]
    by_pair: dict[Pair, PairAnswer] = {}
    for arm_gap in gaps:
        by_pair[places[arm_gap.arm_id], base] = arm_gap.answer
    changed = []
    for effect in effects.all:
        cells = effect.comparison.contrast.cells
        answer = None
        if effect.is_exploratory and effect.metric == effects.primary and len(cells) == 1:
            answer = _either_way(by_pair, cells[0])
        changed.append(effect if answer is None else _answered(effect, answer))
    return replace(effects, all=tuple(changed))


def _either_way(by_pair: Mapping[Pair, PairAnswer], pair: Pair) -> PairAnswer | None:
    if pair in by_pair:
        return by_pair[pair]
    exchanged = by_pair.get(pair[::-1])
    return None if exchanged is None else replace(exchanged, judged=exchanged.judged.reversed())


def _answered(effect: Effect, answer: PairAnswer) -> Effect:
    return replace(
        effect,
        judged=answer.judged,
        seeds_to_settle=answer.seeds_to_settle,
        is_exploratory=False,
    )


def best_candidates(
    record: StudyRecord, trials: pd.DataFrame, replicates: Replicates
) -> frozenset[str]:
    """Return the arm_ids of the arms that may be the best: it is among them in 95 % of studies.

    Arms without a score are left out.
    """
    metric = primary_metric(record)
    scores = score_array(record, trials, metric)
    is_in = may_be_best(
        scores,
        replicates.get(metric),
        alpha=BEST_ALPHA,
        is_lower_better=is_better(metric, 0.0, than=1.0),
    )
    is_in &= ~np.isnan(scores).all(axis=1)
    return frozenset(arm.arm_id for arm, kept in zip(record.arms, is_in, strict=True) if kept)
