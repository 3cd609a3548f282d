"""What a study costs, reckoned from a few measured steps: pure functions of what was measured and of what is shared."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.model.facts import RecipeFacts
from ablate.recipe.policy import policy_word
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import n_epochs
from ablate.study.record import ArmRecord
from ablate.workflow.plan.sharing import Part, n_used, views_of
from ablate.workflow.prepare.prepared import Resolved, cut_depth


@dataclass(frozen=True, slots=True)
class Kind:
    """Arms that cost the same: learning rates and seeds do not matter."""

    backbone: str
    depth: int
    """Frozen units that nothing of the arm adapts."""
    n_trainable: int
    augment: str
    batch_size: int
    precision: str
    classifier: str = "linear"

    def __str__(self) -> str:
        return (
            f"{self.backbone}, {self.depth} frozen units, {self.n_trainable:,} trainable, augment {self.augment}, batch {self.batch_size}"
            + ("" if self.classifier == "linear" else f", {self.classifier} fitted at once")
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """One kind's probe. Passes through a kept prefix are apart from everything else."""

    start_s: float
    """A trial until its first step."""
    step_s: float
    """One step with its batch."""
    val_s: float
    """Scoring one image of val, an epoch's other business included."""
    end_s: float
    """Scoring one image of test, the trial's files included."""
    prefix_s: float
    """A pass of one image through the kept prefix; 0 where nothing is kept."""
    peak_mb: float

    def trial_s(self, recipe: Recipe, n_images: Mapping[str, int]) -> float:
        """Seconds of one trial whose prefix is kept; patience may end it earlier, and every phase counts as the last one, the dearest. `n_images` by split."""
        steps = math.ceil(n_images["train"] / recipe.batch_size)
        return (
            self.start_s
            + n_epochs(recipe) * (steps * self.step_s + n_images["val"] * self.val_s)
            + n_images["test"] * self.end_s
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """An estimate in seconds."""

    trials_s: float
    """All trials, one after the other, on what is kept of their prefixes."""
    prefixes_s: float
    """Every shared view computed once."""
    longest_s: float
    """The longest single trial."""

    def wall_s(self, n_slots: int, *, before_s: float) -> float:
        """On so many slots side by side, after what happens `before_s` any trial does; no study is shorter than its longest trial."""
        return before_s + max((self.trials_s + self.prefixes_s) / n_slots, self.longest_s)


def kinds_of(resolved: Resolved, facts: Mapping[str, RecipeFacts]) -> dict[Kind, list[ArmRecord]]:
    """Arms by kind, the most common kind first."""
    kinds: dict[Kind, list[ArmRecord]] = defaultdict(list)
    for arm in resolved.expansion.arms:
        recipe, found = arm.recipe, facts[arm.arm_id]
        policy = policy_word(recipe, source=resolved.data.source)
        kinds[
            Kind(
                recipe.backbone,
                cut_depth(recipe, found),
                found.n_trainable,
                policy,
                recipe.batch_size,
                recipe.precision,
                recipe.classifier,
            )
        ].append(arm)
    return dict(sorted(kinds.items(), key=lambda item: -len(item[1])))


def nearest(kind: Kind, measured: Sequence[Kind]) -> Kind:
    """The measured kind that a kind is taken as: itself; else of its backbone, of the nearest depth and number of trained weights, augmented as it is."""

    def distance(one: Kind) -> tuple[object, ...]:
        apart = (
            abs(one.depth - kind.depth),
            abs(one.n_trainable - kind.n_trainable),
            one.augment != kind.augment,
            abs(one.batch_size - kind.batch_size),
        )
        return one != kind, one.backbone != kind.backbone, one.classifier != kind.classifier, *apart

    return min(measured, key=distance)


def study_cost(
    resolved: Resolved, kinds: Mapping[Kind, Sequence[ArmRecord]], measured: Mapping[Kind, Measured]
) -> Cost:
    """Sum over all trials; each view of a shared prefix is computed once, at the price of the deepest cut that asks for it."""
    n_images, seeds = images_by_split(resolved), resolved.record.seeds
    trials_s = longest_s = 0.0
    passes: dict[tuple[object, ...], float] = {}
    for kind, arms in kinds.items():
        found = measured[nearest(kind, list(measured))]
        for arm in arms:
            trial_s = found.trial_s(arm.recipe, _as_used(resolved, arm.recipe))
            trials_s += trial_s * len(seeds)
            longest_s = max(longest_s, trial_s)
            for view, n_passes in _views(arm, kind, seeds, n_images):
                passes[kind.backbone, view] = max(
                    passes.get((kind.backbone, view), 0.0), n_passes * found.prefix_s
                )
    return Cost(trials_s, sum(passes.values()), longest_s)


def cost_table(
    resolved: Resolved, kinds: Mapping[Kind, Sequence[ArmRecord]], measured: Mapping[Kind, Measured]
) -> list[dict[str, object]]:
    """One row a kind: how often, what one of its trials costs, and whether that was measured."""
    rows: list[dict[str, object]] = []
    numbers = {kind: number for number, kind in enumerate(kinds, start=1)}
    for kind, arms in kinds.items():
        one = nearest(kind, list(measured))
        found = measured[one]
        longest = max(arms, key=lambda arm: n_epochs(arm.recipe))
        rows.append(
            {
                "": numbers[kind],
                "kind": str(kind),
                "trials": len(arms) * len(resolved.record.seeds),
                "s a trial": f"{found.trial_s(longest.recipe, _as_used(resolved, longest.recipe)):.1f}",
                "ms a prefix pass": f"{found.prefix_s * 1e3:.1f}"
                if found.prefix_s
                else "none kept",
                "peak MB": f"{found.peak_mb:,.0f}",
                "from": "measured" if one == kind else f"as {numbers[one]}",
            }
        )
    return rows


def images_by_split(resolved: Resolved) -> dict[str, int]:
    """How many images each split has."""
    return resolved.data_set.facts.n_images


def _as_used(resolved: Resolved, recipe: Recipe) -> dict[str, int]:
    """Images of each split that a trial sees."""
    return {**images_by_split(resolved), "train": n_used(recipe, resolved.data_set.facts.of_train)}


def _views(
    arm: ArmRecord, kind: Kind, seeds: tuple[int, ...], n_images: Mapping[str, int]
) -> list[tuple[tuple[object, ...], int]]:
    if not kind.depth:
        return []
    part = Part(arm.recipe, range(n_epochs(arm.recipe)), is_last=True)
    return views_of(
        part,
        seeds,
        policy=kind.augment,
        n_train=n_images["train"],
        n_held_out=n_images["val"] + n_images["test"],
    )
