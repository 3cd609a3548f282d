"""What trials of a study share, counted before any of them runs: passes of an image through the frozen prefix, alone and together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from ablate.model.network import RecipeFacts
from ablate.spec.policy import policy_word
from ablate.spec.recipe import Recipe
from ablate.spec.strategy import phases_of
from ablate.workflow.prepare import Resolved, cut_depths


@dataclass(frozen=True, slots=True)
class SharedPasses:
    """Passes of an image through frozen leading units."""

    alone: int
    """If every trial ran by itself: train and val in every epoch, test once."""
    together: int
    """With each view computed once for all trials that share it; deeper boundaries start from shallower ones."""


def sharing_table(resolved: Resolved, facts: dict[str, RecipeFacts]) -> tuple[pd.DataFrame, SharedPasses]:
    """One row for each backbone, cut and augmentation: arms, trials, passes alone and together, and what is decided; then the sum over the study.

    Patience may end trials earlier: the counts are upper bounds then. Whether activations at the cut are small enough to keep is measured in the trial.
    """
    counts = resolved.data_set.facts.class_counts
    n_train, n_val, n_test = (sum(counts[split]) for split in ("train", "val", "test"))
    groups: dict[tuple[str, int, int, str], list[Part]] = defaultdict(list)
    for arm in resolved.expansion.arms:
        for depth, part in _parts(arm.recipe, facts[arm.arm_id]):
            groups[arm.recipe.backbone, depth, facts[arm.arm_id].n_units, policy_word(arm.recipe, source=resolved.data.source)].append(part)
    seeds = len(resolved.record.seeds)
    rows, seen = [], set()
    whole = SharedPasses(0, 0)
    for (backbone, depth, n_units, augment), parts in sorted(groups.items(), key=lambda group: (group[0][0], group[0][1], group[0][3])):
        alone = together = 0
        for part in parts if depth else []:
            alone += seeds * (len(part.epochs) * (n_train + n_val) + (n_test if part.is_last else 0))
            for view, n_images in views_of(part, resolved.record.seeds, policy=augment, n_train=n_train, n_held_out=n_val + n_test):
                if (backbone, view) not in seen:
                    seen.add((backbone, view))
                    together += n_images
        whole = SharedPasses(whole.alone + alone, whole.together + together)
        decided = "nothing to keep: whole network" if depth == 0 else "computed once, kept" if together else "kept by a row above"
        rows.append(
            {
                "backbone": backbone,
                "frozen prefix": f"{depth} of {n_units} units",
                "augment": augment,
                "arms": len(parts),
                "trials": len(parts) * seeds,
                "prefix passes alone": f"{alone:,}",
                "shared": f"{together:,}",
                "decision": decided,
            }
        )
    return pd.DataFrame(rows), whole


@dataclass(frozen=True, slots=True)
class Part:
    """One phase of an arm."""

    recipe: Recipe
    epochs: range
    """Counted over all phases."""
    is_last: bool


def _parts(recipe: Recipe, facts: RecipeFacts) -> Iterator[tuple[int, Part]]:
    """Yield the depth of the cut and the phase, for each phase of an arm."""
    first, phases, depths = 0, phases_of(recipe), cut_depths(recipe, facts)
    for number, (phase, depth) in enumerate(zip(phases, depths, strict=True), start=1):
        yield depth, Part(recipe, range(first, first + phase.epochs), number == len(phases))
        first += phase.epochs


def views_of(part: Part, seeds: tuple[int, ...], *, policy: str, n_train: int, n_held_out: int) -> list[tuple[tuple[object, ...], int]]:
    """The views that a phase needs over its seeds, and their images; a random trunk is another network for every seed."""
    recipe = part.recipe
    trunks = seeds if recipe.weights == "none" else ("pretrained",)
    clean: list[tuple[tuple[object, ...], int]] = [((recipe.weights, trunk, "held out"), n_held_out) for trunk in trunks]
    if policy == "none":
        return clean + [((recipe.weights, trunk, "clean"), n_train) for trunk in trunks]
    return clean + [((recipe.weights, policy, seed, epoch), n_train) for seed in seeds for epoch in part.epochs]
