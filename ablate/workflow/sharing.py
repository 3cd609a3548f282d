"""What trials of a study share, counted before any of them runs: passes of an image through the frozen prefix, alone and together."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import pandas as pd

from ablate.model.network import RecipeFacts
from ablate.spec.policy import policy_word
from ablate.spec.recipe import Recipe
from ablate.workflow.prepare import Resolved, cut_depth


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
    groups: dict[tuple[str, int, int, str], list[Recipe]] = defaultdict(list)
    for arm in resolved.expansion.arms:
        is_mixed = arm.recipe.mixup > 0 or arm.recipe.cutmix > 0
        depth = 0 if is_mixed else cut_depth(arm.recipe, facts[arm.arm_id])
        groups[arm.recipe.backbone, depth, facts[arm.arm_id].n_units, policy_word(arm.recipe, source=resolved.data.source)].append(arm.recipe)
    seeds = len(resolved.record.seeds)
    rows, seen = [], set()
    whole = SharedPasses(0, 0)
    for (backbone, depth, n_units, augment), recipes in sorted(groups.items(), key=lambda group: (group[0][0], group[0][1], group[0][3])):
        alone = together = 0
        for recipe in recipes if depth else []:
            alone += seeds * (recipe.epochs * (n_train + n_val) + n_test)
            for view, n_images in _views(recipe, resolved.record.seeds, policy=augment, n_train=n_train, n_held_out=n_val + n_test):
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
                "arms": len(recipes),
                "trials": len(recipes) * seeds,
                "prefix passes alone": f"{alone:,}",
                "shared": f"{together:,}",
                "decision": decided,
            }
        )
    return pd.DataFrame(rows), whole


def _views(recipe: Recipe, seeds: tuple[int, ...], *, policy: str, n_train: int, n_held_out: int) -> list[tuple[tuple[object, ...], int]]:
    """The views that a recipe needs over its seeds, and their images; a random trunk is another network for every seed."""
    trunks = seeds if recipe.weights == "none" else ("pretrained",)
    clean: list[tuple[tuple[object, ...], int]] = [((recipe.weights, trunk, "held out"), n_held_out) for trunk in trunks]
    if policy == "none":
        return clean + [((recipe.weights, trunk, "clean"), n_train) for trunk in trunks]
    return clean + [((recipe.weights, policy, seed, epoch), n_train) for seed in seeds for epoch in range(recipe.epochs)]
