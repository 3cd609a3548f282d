"""Where the networks of a study's arms are cut: behind the leading units that nothing changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from ablate.model.backbone_facts import RecipeFacts
from ablate.recipe.recipe import Recipe
from ablate.study.record import ArmRecord
from ablate.study.request import Compute
from ablate.study.view_identity import CLEAN, planned_trunk, train_views_name
from ablate.study.weights_identity import WeightsIdentity


def waypoints_of(
    arms: Iterable[ArmRecord],
    facts: Mapping[str, RecipeFacts],
    weights: Mapping[str, WeightsIdentity],
    compute: Compute,
) -> dict[str, tuple[int, ...]]:
    """arm_id -> smaller depths at which other arms cut the same trunk."""
    depths_of_trunk: dict[str, set[int]] = defaultdict(set)
    trunk_of_arm: dict[str, str] = {}
    deepest: dict[str, int] = {}
    for arm in arms:
        found = facts[arm.arm_id]
        # Any seed will do: arms are compared within one.
        trunk = planned_trunk(
            arm.recipe, pooling=found.pooling, seed=0, weights=weights, compute=compute
        )
        name = train_views_name(trunk, policy=CLEAN, seed=0)
        depths = cut_depths(arm.recipe, found)
        depths_of_trunk[name].update(depths)
        trunk_of_arm[arm.arm_id] = name
        deepest[arm.arm_id] = max(depths)
    return {
        arm_id: _earlier(deepest[arm_id], depths_of_trunk[name])
        for arm_id, name in trunk_of_arm.items()
    }


def _earlier(depth: int, others: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted({other for other in others if 0 < other < depth}))


def cut_depths(recipe: Recipe, facts: RecipeFacts) -> tuple[int, ...]:
    """Leading units that are neither free nor adapted, in each phase of training."""
    if recipe.mixup or recipe.cutmix:
        return (0,) * max(1, len(facts.phase_depths))
    return facts.phase_depths if len(facts.phase_depths) > 1 else (cut_depth(recipe, facts),)


def cut_depth(recipe: Recipe, facts: RecipeFacts) -> int:
    """Leading units that are neither free nor adapted; none where images are mixed."""
    if recipe.mixup or recipe.cutmix:
        return 0
    if recipe.adapter_kind == "none":
        return facts.depth
    return 0 if recipe.adapter_units == "all" else max(0, facts.depth - recipe.adapter_units)
