"""Simulated studies in the designs of the example grids: how often a report says a false thing.

The truth is known, the package's own functions judge (`judge_study`), and what they say is counted.
Sizes are in SDs of a trial around its arm and seed, which is one point of the metric here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.grid.parse import load_grid
from ablate.recipe.levels import level_text
from ablate.reporting.evidence.comparisons import main_comparisons
from ablate.reporting.evidence.judged_metrics import primary_metric
from ablate.reporting.evidence.judgement import Judgement, judge_study
from ablate.reporting.statistics.verdict import Judged, Verdict
from ablate.study.record import StudyRecord
from support.grids import record_of

SD = 0.01
SEED_SD = 2.0
"""What a seed does to all arms alike."""
SHARED_LUCK = 0.6
"""Correlation of a trial's luck on val and on test. 0.2 to 0.9 in the committed reports."""
OWN_IMAGES = 0.5
"""SD of what one trial does to single test images, where images are simulated."""
N_DRAWS = 200
"""Resamples of the test images; reports have 400."""
FEW_SEEDS = 3
EXPERIMENTS = Path(__file__).parents[2] / "experiments"
GOLDEN = Path(__file__).parents[1] / "grid/golden_grids"
"""Grids of former versions; they do not change."""


@dataclass(frozen=True)
class Scenario:
    """How trials vary, and the one effect that is planted."""

    effect: float = 0.0
    """Gain of the level that the first comparison is about."""
    level_by_seed: float = 0.0
    """SD of what each level gains in a seed, in all its cells alike."""
    noisy_level: float = 1.0
    """How many times as noisy one level is, another one in each study."""
    tails: int | None = None
    """Degrees of freedom of t noise; None is normal."""
    failed: float = 0.0
    """Share of the trials that fail."""
    images: float = 0.0
    """SD of what the draw of test images does to an arm in all seeds alike; 0 knows no images."""


@dataclass(frozen=True)
class Design:
    """A grid as it is judged."""

    name: str
    record: StudyRecord
    planted: tuple[str, str]
    """Axis and level that gain something, where a scenario plants an effect."""

    def with_seeds(self, n_seeds: int) -> Design:
        """The same design with so many seeds."""
        changed = self.record.model_copy(update={"seeds": tuple(range(n_seeds))})
        return replace(self, record=changed)

    @property
    def n_arms(self) -> int:
        return len(self.record.arms)

    @cached_property
    def levels(self) -> dict[tuple[str, str], NDArray[np.bool_]]:
        """(axis, level) -> (arms,) those that answer a cell of it."""
        masks = {}
        for axis, levels in self.record.axes.items():
            for level in map(level_text, levels):
                answers = [
                    any(level_text(cell[axis]) == level for cell in arm.cells)
                    for arm in self.record.arms
                ]
                masks[axis, level] = np.array(answers)
        return masks

    @cached_property
    def empty_frame(self) -> pd.DataFrame:
        """Arms by seeds, without scores."""
        arm_ids = [arm.arm_id for arm in self.record.arms]
        index = pd.MultiIndex.from_product([arm_ids, self.record.seeds], names=["arm_id", "seed"])
        return index.to_frame(index=False)


def example_designs(folder: Path = EXPERIMENTS) -> Iterator[Design]:
    """Yield each grid as it is, and with main effects alone and few seeds where it asks questions.

    A grid of one seed says nothing, so it is judged with few seeds alone. A search has no design:
    scores choose its cells.
    """
    for path in sorted(folder.glob("*.yaml")):
        grid = load_grid(path)
        if grid.search is not None:
            continue
        record = record_of(grid)
        planted = _first_compared(record)
        if record.questions:
            yield Design(f"{path.stem}, as it asks", record, planted)
        unasked = Design(path.stem, record.model_copy(update={"questions": ()}), planted)
        yield replace(unasked, name=f"{path.stem}, main effects").with_seeds(FEW_SEEDS)


def power_design() -> Design:
    """The design that power is promised for: 21 arms, seven main effects and three seeds.

    A former `flowers`: what today's grids ask, and with how many seeds, has a power of its own.
    """
    record = record_of(load_grid(GOLDEN / "flowers.yaml"))
    return Design("21 arms, main effects", record, _first_compared(record))


def _first_compared(record: StudyRecord) -> tuple[str, str]:
    """Axis and level of the first question, or else of the first main effect."""
    if record.questions:
        question = record.questions[0]
        axis = question.changed[0]
        return axis, level_text(question.levels[axis])
    every_arm = {arm.arm_id for arm in record.arms}
    for comparison in main_comparisons(record, scored=every_arm):
        if comparison.contrast.cells:
            return comparison.axes[0], comparison.levels[0]
    raise ValueError(f"the grid {record.grid_name} compares nothing")


@dataclass(frozen=True)
class Drawn:
    """A simulated study."""

    trials: pd.DataFrame
    replicates: dict[str, NDArray[np.floating]]
    truth: NDArray[np.float64]
    """(arms,) what each arm gains, in the metric's unit."""


def draw(design: Design, scenario: Scenario, rng: np.random.Generator) -> Drawn:
    """Draw the scores of a study on val and test, and on resampled test images."""
    shape = (design.n_arms, len(design.record.seeds))
    truth = scenario.effect * design.levels[design.planted].astype(np.float64)
    luck = _Luck(rng, scenario, shape)
    test, val = luck.trials(_noise_of_arms(design, scenario, rng))
    test += SEED_SD * rng.normal(size=shape[1])
    for arms in design.levels.values():
        gains = luck.levels()
        test[arms] += gains[0]
        val[arms] += gains[1]
    metric = primary_metric(design.record)
    replicates: dict[str, NDArray[np.floating]] = {}
    if scenario.images:
        by_images = _on_images(shape, scenario.images, rng)
        test += by_images[..., 0]
        replicates[metric] = 0.8 + SD * (truth[:, None, None] + by_images[..., 1:])
    has_failed = rng.random(shape) < scenario.failed
    trials = design.empty_frame.copy()
    for name, scores in ((design.record.select_by, val), (metric, test)):
        score = np.where(has_failed, np.nan, 0.8 + SD * (scores + truth[:, None]))
        trials[name] = score.ravel()
    return Drawn(trials, replicates, SD * truth)


def _noise_of_arms(
    design: Design, scenario: Scenario, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(arms, 1) SD of a trial."""
    sd = np.ones((design.n_arms, 1))
    levels = list(design.levels.values())
    sd[levels[rng.integers(len(levels))]] *= scenario.noisy_level
    return sd


@dataclass(frozen=True)
class _Luck:
    """Draws pairs of one for test and one for val that share a part."""

    rng: np.random.Generator
    scenario: Scenario
    shape: tuple[int, int]

    def trials(self, sd: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Two of (arms, seeds)."""
        tails = self.scenario.tails
        if tails is None:
            draws = self.rng.normal(size=(2, *self.shape))
        else:
            to_unit = math.sqrt(tails / (tails - 2))
            draws = self.rng.standard_t(tails, size=(2, *self.shape)) / to_unit
        return sd * draws[0], sd * _mixed(draws)

    def levels(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Two of (seeds,): what a level gains in each seed."""
        sd = self.scenario.level_by_seed
        draws = self.rng.normal(size=(2, self.shape[1]))
        return sd * draws[0], sd * _mixed(draws)


def _mixed(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(SHARED_LUCK * draws[0] + math.sqrt(1 - SHARED_LUCK**2) * draws[1])


def _on_images(shape: tuple[int, int], sd: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(arms, seeds, 1 + draws): the test images that were drawn, then resampled ones."""
    of_arms = sd * rng.normal(size=(shape[0], 1, 1 + N_DRAWS))
    own = OWN_IMAGES * rng.normal(size=(*shape, 1 + N_DRAWS))
    return np.asarray(of_arms + own)


@dataclass(frozen=True)
class Said:
    """A judged comparison beside its truth, in the metric's unit."""

    judged: Judged
    truth: float
    margin: float | None
    is_promised: bool = True
    """Whether it holds together with the others; not where it is exploratory."""

    @property
    def is_wrong(self) -> bool:
        """Whether the verdict is false."""
        verdict = self.judged.verdict
        size = abs(self.truth)
        if verdict in (Verdict.BETTER, Verdict.WORSE):
            gain = self.truth if verdict is Verdict.BETTER else -self.truth
            is_too_small = self.judged.beyond_margin and size <= (self.margin or 0.0)
            return gain <= 0 or is_too_small
        if verdict is Verdict.NO_LARGER:
            return self.margin is not None and size > self.margin
        return False

    @property
    def is_missed(self) -> bool:
        """Whether the interval leaves the truth out."""
        low, high = self.judged.low, self.judged.high
        return not math.isnan(low) and not low <= self.truth <= high


def said_of(design: Design, judgement: Judgement, truth: NDArray[np.float64]) -> list[Said]:
    """Everything that a report says of differences in the primary metric."""
    record = design.record
    margin = record.margin_of_score
    of_arm = {arm.arm_id: float(gain) for arm, gain in zip(record.arms, truth, strict=True)}
    said = []
    for effect in judgement.effects.all:
        if effect.metric == judgement.effects.primary:
            gain = float(effect.comparison.contrast.weights(len(truth)) @ truth)
            said.append(Said(effect.judged, gain, margin, not effect.is_exploratory))
    for gap in judgement.to_baseline:
        gain = of_arm[gap.arm_id] - of_arm[record.baseline_arm_id]
        said.append(Said(gap.judged, gain, margin))
    if judgement.champion is not None:
        best = of_arm[judgement.champion.arm_id]
        for choice in judgement.choices:
            said.append(Said(choice.judged, best - of_arm[choice.neighbour.arm_id], margin))
    return said


def count(design: Design, scenario: Scenario, *, n_studies: int, seed: int) -> Counter[str]:
    """Simulate studies and return how many of them ...

    - `studies`: there are
    - `wrong`: have any false verdict that is promised, or leave the best arm out
    - `missed`: have any promised interval without the truth, or leave the best arm out
    - `explored`: have a false verdict that is marked as exploratory
    - `without best`: leave the best arm out of those that may be the best
    - `found`: find the planted effect
    """
    counts: Counter[str] = Counter(studies=n_studies)
    arm_ids = [arm.arm_id for arm in design.record.arms]
    for study in range(n_studies):
        drawn = draw(design, scenario, np.random.default_rng([seed, study]))
        judgement = judge_study(design.record, drawn.trials, drawn.replicates, order=arm_ids)
        counts += _events(design, judgement, drawn.truth)
    return counts


def _events(design: Design, judgement: Judgement, truth: NDArray[np.float64]) -> Counter[str]:
    said = said_of(design, judgement, truth)
    promised = [one for one in said if one.is_promised]
    explored = [one for one in said if not one.is_promised]
    # Of equal arms the first counts as the best by a hair: that is the hardest case.
    best = design.record.arms[int(np.argmax(truth))].arm_id
    is_best_out = best not in judgement.may_be_best
    return Counter(
        {
            "wrong": is_best_out or any(one.is_wrong for one in promised),
            "missed": is_best_out or any(one.is_missed for one in promised),
            "explored": any(one.is_wrong for one in explored),
            "without best": is_best_out,
            "found": _finds(judgement, design.planted),
        }
    )


def _finds(judgement: Judgement, planted: tuple[str, str]) -> bool:
    """Whether the comparison about the planted level is better: the question, where one asks."""
    effects = judgement.effects
    axis, level = planted
    for effect in (*effects.questions, *effects.mains):
        comparison = effect.comparison
        is_about_it = comparison.axes[0] == axis and comparison.levels[0] == level
        if effect.metric == effects.primary and is_about_it:
            return effect.verdict is Verdict.BETTER
    return False
