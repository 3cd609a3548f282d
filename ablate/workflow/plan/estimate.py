"""What a study costs, reckoned from a few measured steps.

Pure functions of what was measured and of what is shared.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.in_order import places
from ablate.model.backbone_facts import RecipeFacts
from ablate.recipe.policy import policy_word
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import n_epochs
from ablate.study.record import ArmRecord
from ablate.study.view_identity import planned_trunk
from ablate.workflow.plan.sharing import Part, n_used, views_of
from ablate.workflow.prepare.cut_depths import cut_depth
from ablate.workflow.prepare.resolved import Resolved


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
    image_size: int
    """Pixels; how much of an image they show makes no difference."""
    classifier: str = "linear"

    def __str__(self) -> str:
        words = (
            f"{self.backbone}, {self.depth} frozen units, {self.n_trainable:,} trainable, "
            f"augment {self.augment}, batch {self.batch_size}, {self.image_size} px"
        )
        if self.classifier == "linear":
            return words
        return f"{words}, {self.classifier} fitted at once"


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
        """Return the seconds of one trial whose prefix is kept. `n_images` by split.

        Patience may end it earlier, and every phase counts as the last one, the dearest.
        """
        steps = math.ceil(n_images["train"] / recipe.batch_size)
        # The last batch of an epoch may be smaller; it counts as a whole one.
        epoch_s = steps * self.step_s + n_images["val"] * self.val_s
        return self.start_s + n_epochs(recipe) * epoch_s + n_images["test"] * self.end_s


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
        """Return the seconds on so many slots side by side, `before_s` before any trial included.

        No study is shorter than its longest trial.
        """
        # Work shared evenly, which work units come close to: see docs/performance.md.
        return before_s + max((self.trials_s + self.prefixes_s) / n_slots, self.longest_s)


def kinds_of(resolved: Resolved, facts: Mapping[str, RecipeFacts]) -> dict[Kind, list[ArmRecord]]:
    """Arms by kind, the most common kind first."""
    kinds: dict[Kind, list[ArmRecord]] = defaultdict(list)
    for arm in resolved.expansion.arms:
        recipe = arm.recipe
        built = facts[arm.arm_id]
        # What the time of a step depends on, and nothing else, or every arm would be a kind of its
        # own.
        kind = Kind(
            backbone=recipe.backbone,
            depth=cut_depth(recipe, built),
            n_trainable=built.n_trainable,
            augment=policy_word(recipe, source=resolved.data.source),
            batch_size=recipe.batch_size,
            precision=recipe.precision,
            image_size=built.preprocessing.image_size,
            classifier=recipe.classifier,
        )
        kinds[kind].append(arm)
    # The first kinds are the ones that are measured: an error there would count most.
    return dict(sorted(kinds.items(), key=lambda item: -len(item[1])))


def nearest(kind: Kind, measured: Sequence[Kind]) -> Kind:
    """Return the measured kind that a kind is taken as: itself, where it was measured.

    Else one of its backbone, of the nearest image size, depth and number of trained weights,
    augmented as it is.
    """

    def distance(other: Kind) -> tuple[object, ...]:
        # Compared from left to right: each entry matters only where those before it are equal.
        return (
            other != kind,
            other.backbone != kind.backbone,
            other.classifier != kind.classifier,
            abs(other.image_size - kind.image_size),
            abs(other.depth - kind.depth),
            abs(other.n_trainable - kind.n_trainable),
            other.augment != kind.augment,
            abs(other.batch_size - kind.batch_size),
        )

    return min(measured, key=distance)


def study_cost(
    resolved: Resolved, kinds: Mapping[Kind, Sequence[ArmRecord]], measured: Mapping[Kind, Measured]
) -> Cost:
    """Sum over all trials.

    Each view of a shared prefix is computed once, at the price of the deepest cut that asks for it.
    """
    seeds = resolved.record.seeds
    # View's name -> seconds; a view that two kinds name is one, whichever is counted first.
    trials_s = longest_s = 0.0
    prefix_s: dict[str, float] = {}
    for kind, arms in kinds.items():
        probe = measured[nearest(kind, list(measured))]
        for arm in arms:
            trial_s = probe.trial_s(arm.recipe, _as_used(resolved, arm.recipe))
            trials_s += trial_s * len(seeds)
            longest_s = max(longest_s, trial_s)
            for view, n_passes in _views(arm, kind, resolved):
                # A deeper cut goes through the shallower one on its way, so its price holds both.
                seconds = n_passes * probe.prefix_s
                prefix_s[view] = max(prefix_s.get(view, 0.0), seconds)
    return Cost(trials_s, sum(prefix_s.values()), longest_s)


def arm_seconds(
    resolved: Resolved, kinds: Mapping[Kind, Sequence[ArmRecord]], measured: Mapping[Kind, Measured]
) -> dict[str, float]:
    """Return arm_id -> seconds of one of its trials whose prefix is kept."""
    seconds = {}
    for kind, arms in kinds.items():
        probe = measured[nearest(kind, list(measured))]
        for arm in arms:
            seconds[arm.arm_id] = probe.trial_s(arm.recipe, _as_used(resolved, arm.recipe))
    return seconds


def cost_table(
    resolved: Resolved, kinds: Mapping[Kind, Sequence[ArmRecord]], measured: Mapping[Kind, Measured]
) -> list[dict[str, object]]:
    """One row per kind: how often, what one of its trials costs, and whether that was measured."""
    # Rows are numbered, so that a kind that was not measured can name the one it is taken as.
    numbers = places(kinds, first=1)
    rows: list[dict[str, object]] = []
    for kind, arms in kinds.items():
        taken_as = nearest(kind, list(measured))
        probe = measured[taken_as]
        # Arms of a kind differ in epochs at most, and the row says what the dearest costs.
        longest = max(arms, key=lambda arm: n_epochs(arm.recipe)).recipe
        trial_s = probe.trial_s(longest, _as_used(resolved, longest))
        row: dict[str, object] = {
            "": numbers[kind],
            "kind": str(kind),
            "trials": len(arms) * len(resolved.record.seeds),
            "s per trial": f"{trial_s:.1f}",
            "ms per prefix pass": "none kept",
            "peak MB": f"{probe.peak_mb:,.0f}",
            "from": "measured",
        }
        if probe.prefix_s:
            row["ms per prefix pass"] = f"{probe.prefix_s * 1e3:.1f}"
        if taken_as != kind:
            row["from"] = f"as {numbers[taken_as]}"
        rows.append(row)
    return rows


def images_by_split(resolved: Resolved) -> dict[str, int]:
    """How many images each split has."""
    return resolved.data_set.facts.n_images


def _as_used(resolved: Resolved, recipe: Recipe) -> dict[str, int]:
    """Images of each split that a trial sees."""
    # With `shots`, trials learn from some images of each class; val and test stay whole.
    n_train = n_used(recipe, resolved.data_set.facts.of_train)
    return {**images_by_split(resolved), "train": n_train}


def _views(arm: ArmRecord, kind: Kind, resolved: Resolved) -> list[tuple[str, int]]:
    """The views that an arm needs over its seeds, and the images of each."""
    if not kind.depth:
        return []
    recipe = arm.recipe
    # No weights are read for an estimate: they go by their words, as pooling does.
    trunks = {}
    for seed in resolved.record.seeds:
        trunks[seed] = planned_trunk(recipe, pooling=recipe.pooling, seed=seed, weights={})
    # As one phase, which is what `Measured.trial_s` counts too.
    part = Part(recipe, kind.augment, trunks, range(n_epochs(recipe)), is_last=True)
    return views_of(part, resolved.data_set.facts.n_in_views)
