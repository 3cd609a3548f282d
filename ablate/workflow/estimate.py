"""What a study costs, reckoned from a few measured steps: pure functions of what was measured and of what is shared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ablate.model.network import RecipeFacts
from ablate.spec.study import ArmRecord
from ablate.workflow.prepare import Resolved, cut_depth
from ablate.workflow.sharing import views_of


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

    def __str__(self) -> str:
        return f"{self.backbone}, {self.depth} frozen units, {self.n_trainable:,} trainable, augment {self.augment}, batch {self.batch_size}"


@dataclass(frozen=True, slots=True)
class Measured:
    """One kind's probe, per image of the data where that is what decides."""

    start_s: float
    """A trial until it trains."""
    epoch_s: float
    """An epoch for each image of train, its share of val included, without passes through a kept prefix."""
    prefix_s: float
    """A pass of one image through the kept prefix; 0 where nothing is kept."""
    end_s: float
    """Scoring one image of test, without its pass through the prefix."""
    peak_mb: float


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
        kinds[Kind(recipe.backbone, cut_depth(recipe, found), found.n_trainable, recipe.augment, recipe.batch_size, recipe.precision)].append(arm)
    return dict(sorted(kinds.items(), key=lambda item: -len(item[1])))


def nearest(kind: Kind, measured: Sequence[Kind]) -> Kind:
    """The measured kind that a kind is taken as: of its backbone if there is one, then the nearest depth, then the nearest number of trained weights."""
    return min(measured, key=lambda one: (one.backbone != kind.backbone, abs(one.depth - kind.depth), abs(one.n_trainable - kind.n_trainable)))


def study_cost(resolved: Resolved, kinds: Mapping[Kind, Sequence[ArmRecord]], measured: Mapping[Kind, Measured]) -> Cost:
    """Sum over all trials; each view of a shared prefix is computed once, at the price of the deepest cut that asks for it."""
    counts = {split: sum(numbers) for split, numbers in resolved.data_set.facts.class_counts.items()}
    seeds = resolved.record.seeds
    trials_s = longest_s = 0.0
    passes: dict[tuple[object, ...], float] = {}
    for kind, arms in kinds.items():
        found = measured[nearest(kind, list(measured))]
        for arm in arms:
            trial_s = trial_cost_s(found, n_epochs=arm.recipe.epochs, n_train=counts["train"], n_test=counts["test"])
            trials_s += trial_s * len(seeds)
            longest_s = max(longest_s, trial_s)
            for view, n_images in views_of(arm.recipe, seeds, n_train=counts["train"], n_held_out=counts["val"] + counts["test"]) if kind.depth else []:
                key = (kind.backbone, *view)
                passes[key] = max(passes.get(key, 0.0), n_images * found.prefix_s)
    return Cost(trials_s, sum(passes.values()), longest_s)


def trial_cost_s(found: Measured, *, n_epochs: int, n_train: int, n_test: int) -> float:
    """Seconds of one trial whose prefix is kept; patience may end it earlier."""
    return found.start_s + n_epochs * n_train * found.epoch_s + n_test * found.end_s


def cost_table(resolved: Resolved, kinds: Mapping[Kind, Sequence[ArmRecord]], measured: Mapping[Kind, Measured]) -> pd.DataFrame:
    """One row a kind: how often, what one of its trials costs, and whether that was measured."""
    counts = {split: sum(numbers) for split, numbers in resolved.data_set.facts.class_counts.items()}
    rows = []
    for kind, arms in kinds.items():
        one = nearest(kind, list(measured))
        found = measured[one]
        epochs = max(arm.recipe.epochs for arm in arms)
        rows.append(
            {
                "kind": str(kind),
                "trials": len(arms) * len(resolved.record.seeds),
                "s a trial": f"{trial_cost_s(found, n_epochs=epochs, n_train=counts['train'], n_test=counts['test']):.1f}",
                "ms a prefix pass": f"{found.prefix_s * 1e3:.1f}" if found.prefix_s else "none kept",
                "peak MB": f"{found.peak_mb:,.0f}",
                "from": "measured" if one == kind else f"as {one}",
            }
        )
    return pd.DataFrame(rows)
