"""What was asked, what a level changes, and what two levels change together, with a verdict each.

Everything is paired by seed and by the levels of the other axes. All verdicts of the primary metric
on test hold together in 95 % of studies: main effects share most of the error, interactions a part
of it. Where the grid declares questions, that is promised for those, and main effects and
interactions are exploratory: a family of their own, with an error of its own. The secondary
metric has its own intervals, and a verdict only where the primary one has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting.evidence.comparisons import (
    Comparison,
    Kind,
    axis_columns,
    contrasts_of,
    interactions,
    main_comparisons,
    questions,
    same_cells,
)
from ablate.reporting.evidence.judged_metrics import judged_metrics
from ablate.reporting.evidence.paired import seed_sd
from ablate.reporting.evidence.scores import Replicates, score_array
from ablate.reporting.statistics.estimate import Estimate, estimates
from ablate.reporting.statistics.power import Design, smallest_effect
from ablate.reporting.statistics.seed_variance import Span
from ablate.reporting.statistics.settling import seeds_until_settled
from ablate.reporting.statistics.variance import Noise, noise, omega_squared
from ablate.reporting.statistics.verdict import (
    INTERACTIONS_ALPHA,
    MAINS_ALPHA,
    QUESTIONS_ALPHA,
    Judged,
    Verdict,
    judge,
)
from ablate.study.record import StudyRecord
from ablate.study.trial import is_better_when_low


@dataclass(frozen=True)
class Effect:
    """A comparison in one metric, in its units."""

    comparison: Comparison
    metric: str
    judged: Judged
    """The one answer: its interval, corrected p and verdict are those that every page shows."""
    share: float
    """Omega squared of the axis, or of the two axes' interaction: of all levels together."""
    smallest_effect: float
    """What this design finds with a power of 80 %; infinite where it cannot find any."""
    seeds_to_settle: int | None
    """Seeds with which the interval would be narrow enough to settle an undecided comparison, as
    noisy as it is; None beyond `power.MOST_SEEDS`, and where it is settled."""
    n_pairs: int
    """Matched cells times seeds, for an interaction squares of four trials."""
    n_higher: int
    """Pairs in which `level` scored higher."""
    sd_of_pairs: float
    is_exploratory: bool = False
    """Whether the grid declares questions and this is none of them."""

    @property
    def estimate(self) -> float:
        return self.judged.estimate.value

    @property
    def verdict(self) -> Verdict:
        return self.judged.verdict

    @property
    def n_seeds(self) -> int:
        return self.judged.estimate.n_seeds


@dataclass(frozen=True)
class Effects:
    """All comparisons of a study."""

    all: tuple[Effect, ...]
    primary: str
    """The metric that every verdict is about, e.g. "test/<name>"."""
    secondary: str
    """The metric that has a verdict only where the primary one has."""
    noise: Mapping[str, Noise]
    """Metric -> what is left of a score when arm and seed are known."""
    seed_sd: Mapping[str, float]
    """Metric -> SD of a trial around its arm, seeds' common part included."""

    @cached_property
    def mains(self) -> tuple[Effect, ...]:
        return self._of_kind("main effect")

    @cached_property
    def interactions(self) -> tuple[Effect, ...]:
        return self._of_kind("interaction")

    @cached_property
    def questions(self) -> tuple[Effect, ...]:
        """What the grid declares, in its order; both metrics."""
        return self._of_kind("question")

    def _of_kind(self, kind: Kind) -> tuple[Effect, ...]:
        of_kind = []
        for effect in self.all:
            if effect.comparison.kind == kind:
                of_kind.append(effect)
        return tuple(of_kind)

    def of(self, comparison: Comparison, metric: str) -> Effect:
        """The effect of a comparison in a metric."""
        for effect in self.all:
            # by identity: two effects are of one comparison only where it is the same object
            if effect.comparison is comparison and effect.metric == metric:
                return effect
        raise KeyError(comparison.name)

    def of_axis(self, axis: str, metric: str) -> list[Effect]:
        """Main effects of an axis, in the order of its levels."""
        found = []
        for effect in self.mains:
            if effect.comparison.axes == (axis,) and effect.metric == metric:
                found.append(effect)
        return found

    @property
    def n_tests(self) -> int:
        """Comparisons of the primary metric that have an interval: where questions are declared,
        those alone."""
        return sum(effect.verdict is not Verdict.UNKNOWN for effect in self.promised)

    @cached_property
    def promised(self) -> tuple[Effect, ...]:
        """What the study is about, in the primary metric: the questions, or all where none is
        declared. Their verdicts hold together."""
        # `all` has no question where none is declared
        tested = self.questions or self.all
        promised = []
        for effect in tested:
            if effect.metric == self.primary:
                promised.append(effect)
        return tuple(promised)


def study_effects(record: StudyRecord, trials: pd.DataFrame, replicates: Replicates) -> Effects:
    """Compute every question, main effect and two-way interaction in both judged metrics."""
    primary, secondary = judged_metrics(record)
    scored: set[str] = set()
    # no column where no trial completed
    if primary in trials:
        scored = set(trials.dropna(subset=[primary])["arm_id"])
    # the comparisons are those of the primary metric, so that both metrics have the same rows
    compared = _Compared(
        questions(record, scored=scored),
        main_comparisons(record, scored=scored),
        interactions(record, scored=scored),
    )
    effects: list[Effect] = []
    noises = {}
    seed_sds = {}
    decided: set[tuple[str, str]] = set()
    # the primary metric first: what it decides is all that the secondary one may claim
    for metric in (primary, secondary):
        scores = score_array(record, trials, metric)
        # The margin is about the primary metric: a point of another one may matter more or less.
        margin = None
        if metric == primary:
            margin = record.margin_of_score
        study = _OneMetric(record, metric, scores, replicates.get(metric), margin)
        found = study.effects(compared)
        if metric == primary:
            decided = {_key(effect) for effect in found if effect.judged.excludes_zero}
        else:
            found = [_only_where(effect, decided) for effect in found]
        effects += found
        noises[metric] = noise(scores)
        # unlike `noise` with the part that all arms of a seed share: how unsure one score is
        seed_sds[metric] = seed_sd(trials, metric)
    return Effects(tuple(effects), primary, secondary, noises, seed_sds)


@dataclass(frozen=True)
class _Compared:
    """The comparisons of a study by family."""

    questions: Sequence[Comparison]
    mains: Sequence[Comparison]
    interactions: Sequence[Comparison]


@dataclass(frozen=True)
class _Answer:
    """A judged comparison, and what its precision depends on."""

    judged: Judged
    design: Design
    is_declared: bool = False
    """Whether it is the answer to a question of the grid."""


@dataclass(frozen=True)
class _OneMetric:
    """The scores of a study in one metric."""

    record: StudyRecord
    metric: str
    scores: NDArray[np.float64]
    replicates: NDArray[np.floating] | None
    margin: float | None
    """In units of the metric."""

    def effects(self, compared: _Compared) -> list[Effect]:
        """Questions, main effects, interactions, each family with its share of the error."""
        asked = []
        # 1. each family is judged by itself, with its own share of the error
        for answer in self._family(compared.questions, QUESTIONS_ALPHA):
            asked.append(replace(answer, is_declared=True))
        mains = self._mains(compared, asked, MAINS_ALPHA)
        pairs = self._family(compared.interactions, INTERACTIONS_ALPHA)
        comparisons = [*compared.questions, *compared.mains, *compared.interactions]
        answers = [*asked, *mains, *pairs]
        # 2. of whole axes, so all levels of an axis have the same share
        shares = omega_squared(self.scores, axis_columns(self.record))
        effects = []
        for comparison, answer in zip(comparisons, answers, strict=True):
            effect = self._effect(comparison, answer, shares)
            # 3. where something was asked, only what answers a question is promised
            is_exploratory = bool(asked) and not answer.is_declared
            effects.append(replace(effect, is_exploratory=is_exploratory))
        return effects

    def _mains(self, compared: _Compared, asked: Sequence[_Answer], alpha: float) -> list[_Answer]:
        """Main effects. One that a question asks for has the question's answer: one comparison has
        one interval and one verdict."""
        declared = []
        explored = []
        for comparison in compared.mains:
            answer = _answer_of(comparison, compared.questions, asked)
            declared.append(answer)
            if answer is None:
                explored.append(comparison)
        # in the order of the main effects, each that no question answers takes the next
        family = iter(self._family(explored, alpha))
        answers = []
        for answer in declared:
            if answer is None:
                answer = next(family)
            answers.append(answer)
        return answers

    def _family(self, comparisons: Sequence[Comparison], alpha: float) -> list[_Answer]:
        contrasts = contrasts_of(comparisons)
        # made once for estimates and design: both must speak of the same family
        span = Span.of(contrasts, self.scores)
        values = estimates(contrasts, self.scores, self.replicates, span=span)
        is_lower_better = is_better_when_low(self.metric)
        judged = judge(values, alpha=alpha, margin=self.margin, is_lower_better=is_lower_better)
        n_known = sum(answer.verdict is not Verdict.UNKNOWN for answer in judged)
        answers = []
        for contrast, answer in zip(contrasts, judged, strict=True):
            weights = contrast.weights(len(self.scores))
            # from the weights of the whole contrast, holes or not: it is what a repeat would have
            design = Design(
                float(weights @ weights),
                span.rank,
                alpha / max(n_known, 1),
                has_own_splits=self.record.data.splits is not None,
            )
            answers.append(_Answer(answer, design))
        return answers

    def _effect(
        self,
        comparison: Comparison,
        answer: _Answer,
        shares: Mapping[tuple[str, ...], float],
    ) -> Effect:
        judged = answer.judged
        share = math.nan
        if comparison.kind != "question":
            share = shares.get(comparison.axes, math.nan)
        # pair by pair, for counts and spread alone: the estimate weighs cells and chooses seeds
        differences = pair_values(comparison, self.scores)
        differences = differences[~np.isnan(differences)]
        spread = math.nan
        if len(differences) > 1:
            spread = float(differences.std(ddof=1))
        return Effect(
            comparison=comparison,
            metric=self.metric,
            judged=judged,
            share=share,
            smallest_effect=self._smallest(judged.estimate, answer.design),
            seeds_to_settle=seeds_until_settled(
                judged, answer.design, margin=self.margin, n_planned=len(self.record.seeds)
            ),
            n_pairs=len(differences),
            n_higher=int((differences > 0).sum()),
            sd_of_pairs=spread,
        )

    def _smallest(self, estimate: Estimate, design: Design) -> float:
        """By the noise of the whole study, which is steadier than that of one comparison."""
        if estimate.n_seeds < 2 or math.isnan(self._noise_sd):
            return math.inf
        images = estimate.se_images
        if math.isnan(images):
            images = 0.0
        return smallest_effect(design, estimate.n_seeds, sd=self._noise_sd, se_images=images)

    @cached_property
    def _noise_sd(self) -> float:
        """A least-squares fit on all arms and seeds, which all effects of the metric share."""
        return noise(self.scores).sd


def _answer_of(
    comparison: Comparison, questions: Sequence[Comparison], answers: Sequence[_Answer]
) -> _Answer | None:
    """The answer to the question that compares the same cells, whichever way round."""
    for question, answer in zip(questions, answers, strict=True):
        direction = same_cells(comparison, question)
        if direction == 1:
            return answer
        # the question has the sides exchanged: the same answer, with the other sign
        if direction == -1:
            return replace(answer, judged=answer.judged.reversed())
    return None


def _key(effect: Effect) -> tuple[str, str]:
    """A question may be called as a main effect is."""
    return effect.comparison.kind, effect.comparison.name


def _only_where(effect: Effect, decided: set[tuple[str, str]]) -> Effect:
    """The effect, undecided where the primary metric does not differ for sure."""
    if _key(effect) in decided or not effect.judged.excludes_zero:
        return effect
    return replace(effect, judged=replace(effect.judged, verdict=Verdict.UNDECIDED))


def pair_values(comparison: Comparison, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(matched cells, seeds) the contrast in each cell and seed; NaN where a trial has no score."""
    contrast = comparison.contrast
    cells = np.array(contrast.cells, dtype=np.int64).reshape(-1, len(contrast.signs))
    # (signs) over (cells, signs, seeds)
    values = np.tensordot(contrast.signs, scores[cells], axes=(0, 1))
    return np.asarray(values, dtype=np.float64)
