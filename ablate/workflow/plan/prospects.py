"""What a design can show, and at what price, before anything is trained.

The smallest effect is that of the report's own method, by the noise of an earlier study on the same
data and backbone, or by a guess that is called one. What the test images add to the error is known
only afterwards, so every size is a lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from ablate.grid.expand import MOST_CONFIRMED
from ablate.grid.grid_file import Grid
from ablate.reporting.evidence.planned import Planned, planned_comparisons
from ablate.reporting.statistics.power import Design, smallest_effect
from ablate.reporting.statistics.verdict import ALPHA
from ablate.study.record import StudyRecord
from ablate.study.tasks import metric_prose, task_of
from ablate.workflow.plan.past_studies import MeasuredNoise, PastStudies

USUAL_NOISE = 2.0
"""Points: a guess where nobody measured or stated anything."""
_PAIR_ALONE = Design(square=2.0, rank=1, alpha=ALPHA)
"""Two arms on fresh seeds: no other comparison lends them its variance or takes of their error."""
SEEDS = (2, 3, 5, 8, 12, 20)
"""Numbers of seeds that a plan puts beside one another."""


@dataclass(frozen=True)
class Noise:
    """SD of a trial around its arm and its seed, in points, and who says so."""

    sd: float
    source: str
    is_guess: bool


@dataclass(frozen=True)
class Finding:
    """One comparison and the smallest true effect that the design finds with a power of 80 %."""

    kind: str
    name: str
    against: str
    n_cells: int
    smallest: float | None
    """Points; None where the design finds no effect of any size."""


@dataclass(frozen=True)
class WithSeeds:
    """The whole design with another number of seeds."""

    n_seeds: int
    smallest: float | None
    """Points: of the comparison that is known best."""
    largest: float | None
    """Points: of the one that is known worst."""
    seconds: float | None
    """Of all trials, one after the other; None where no arm was timed."""


@dataclass(frozen=True)
class ArmCost:
    """What an arm costs."""

    arm: str
    arm_id: str
    trial_s: float | None
    """Of one trial; None where it was not timed."""


@dataclass(frozen=True)
class Confirming:
    """What fresh seeds will show of the arm that the study chooses, and at what price."""

    n_seeds: int
    smallest: float | None
    """Points: of the best arm less the baseline, by a t test paired over the fresh seeds alone."""
    most_trials: int
    most_seconds: float | None
    """Of them, one after the other, were the dearest arms chosen; None where none was timed."""


@dataclass(frozen=True)
class Prospects:
    """What the design can show."""

    metric: str
    """The primary metric in words: sizes are points of it on test."""
    n_seeds: int
    noise: Noise
    findings: tuple[Finding, ...]
    by_seeds: tuple[WithSeeds, ...]
    arms: tuple[ArmCost, ...]
    time_from: str
    """Where the seconds come from; empty where no arm was timed."""
    confirming: Confirming | None = None
    """None where the grid asks for no fresh seeds."""

    @property
    def can_show_nothing(self) -> bool:
        """Whether no effect of any size would be found."""
        return all(finding.smallest is None for finding in self.findings)

    @property
    def n_timed(self) -> int:
        """Arms whose trials were timed."""
        n_timed = 0
        for arm in self.arms:
            n_timed += arm.trial_s is not None
        return n_timed


def prospects_of(
    grid: Grid,
    record: StudyRecord,
    past: PastStudies,
    *,
    probed_s: Mapping[str, float] | None = None,
) -> Prospects:
    """Return what the study of `record` can show. `probed_s`: arm_id -> seconds, as measured."""
    task = task_of(record.task)
    backbones = frozenset(arm.recipe.backbone for arm in record.arms)
    # Of the same backbones alone: networks differ in how much a seed moves them.
    noise = _noise(grid, past.noise(f"test/{task.primary}", backbones=backbones))
    planned = planned_comparisons(record)
    # Measured for this plan, on this machine, today: better than what earlier studies took.
    trial_s = probed_s or past.trial_s()
    arms = []
    for arm in record.arms:
        arms.append(ArmCost(arm.name, arm.arm_id, trial_s.get(arm.arm_id)))
    n_seeds = len(record.seeds)
    findings = []
    for comparison in planned:
        findings.append(_finding(comparison, n_seeds, noise))
    return Prospects(
        metric=metric_prose(task.primary),
        n_seeds=n_seeds,
        noise=noise,
        findings=tuple(findings),
        by_seeds=tuple(_by_seeds(planned, arms, n_seeds, noise)),
        arms=tuple(arms),
        time_from=_time_from(arms, is_probed=bool(probed_s)),
        confirming=_confirming(record, arms, noise),
    )


def _time_from(arms: Sequence[ArmCost], *, is_probed: bool) -> str:
    if all(arm.trial_s is None for arm in arms):
        return ""
    if is_probed:
        return "measured steps"
    return "earlier studies"


def _noise(grid: Grid, measured: MeasuredNoise | None) -> Noise:
    # From what was seen to what was said, then to what is usual.
    if measured is not None:
        source = f"measured in the study of grid {measured.grid} ({measured.df} degrees of freedom)"
        # Scores run from 0 to 1, points from 0 to 100.
        return Noise(100 * measured.sd, source, is_guess=False)
    if grid.noise is not None:
        return Noise(grid.noise, "a guess, stated in the grid file", is_guess=True)
    return Noise(
        USUAL_NOISE,
        "a guess: no study on this data and backbone was run here; `noise:` states another",
        is_guess=True,
    )


def _confirming(record: StudyRecord, arms: Sequence[ArmCost], noise: Noise) -> Confirming | None:
    n_seeds = record.n_confirm
    if not n_seeds:
        return None
    timed: dict[str, float] = {}
    for arm in arms:
        if arm.trial_s is not None:
            timed[arm.arm_id] = arm.trial_s
    n_arms = min(MOST_CONFIRMED, len(arms))
    seconds = None
    if timed:
        # Which arms come is known after the study: the baseline, and two at the price of the
        # dearest that were timed. An arm that nobody timed counts as the dearest.
        dearest = max(timed.values())
        baseline = timed.pop(record.baseline_arm_id, dearest)
        others = sorted(timed.values(), reverse=True)[: n_arms - 1]
        others += [dearest] * (n_arms - 1 - len(others))
        seconds = n_seeds * (baseline + sum(others))
    return Confirming(
        n_seeds=n_seeds,
        smallest=_smallest(_PAIR_ALONE, n_seeds, noise.sd),
        most_trials=n_arms * n_seeds,
        most_seconds=seconds,
    )


def _finding(planned: Planned, n_seeds: int, noise: Noise) -> Finding:
    comparison = planned.comparison
    against = []
    for axis, level in zip(comparison.axes, comparison.against, strict=True):
        against.append(f"{axis}={level}")
    return Finding(
        kind=comparison.kind,
        name=comparison.name,
        against=" ".join(against),
        n_cells=len(comparison.contrast.cells),
        smallest=_smallest(planned.design, n_seeds, noise.sd),
    )


def _by_seeds(
    planned: Sequence[Planned], arms: Sequence[ArmCost], n_seeds: int, noise: Noise
) -> list[WithSeeds]:
    """The design as it is, and with other numbers of seeds."""
    timed = [arm.trial_s for arm in arms if arm.trial_s is not None]
    seed_s: float | None = None
    if timed:
        # Arms that nobody timed count as the mean of the others.
        seed_s = len(arms) * sum(timed) / len(timed)
    rows = []
    # The grid's own number stands among the others, once, in order.
    for number in sorted({n_seeds, *SEEDS}):
        sizes = []
        for one in planned:
            size = _smallest(one.design, number, noise.sd)
            if size is not None:
                sizes.append(size)
        seconds = None
        if seed_s is not None:
            seconds = number * seed_s
        row = WithSeeds(
            n_seeds=number,
            smallest=min(sizes, default=None),
            largest=max(sizes, default=None),
            seconds=seconds,
        )
        rows.append(row)
    return rows


@cache
def _smallest(design: Design, n_seeds: int, sd: float) -> float | None:
    # Kept: a plan asks for the same few designs again and again, and each inverts a noncentral t.
    size = smallest_effect(design, n_seeds, sd=sd)
    if not math.isfinite(size):
        return None
    return size
