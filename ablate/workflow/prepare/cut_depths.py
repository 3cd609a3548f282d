"""Where the networks of a study's arms are split: behind the leading units that nothing changes."""

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
    """arm_id -> smaller depths at which other arms split the same trunk.

    A pass that goes on to a deeper split leaves the activations there on its way.
    """
    depths_of_trunk: dict[str, set[int]] = defaultdict(set)
    trunk_of_arm: dict[str, str] = {}
    deepest: dict[str, int] = {}
    for arm in arms:
        of_arm = facts[arm.arm_id]
        # Any seed will do: arms are compared within one.
        trunk = planned_trunk(
            arm.recipe, pooling=of_arm.pooling, seed=0, weights=weights, compute=compute
        )
        name = train_views_name(trunk, policy=CLEAN, seed=0)
        # Of clean views: at which depths a trunk is cut does not depend on how images are
        # augmented.
        depths = cut_depths(arm.recipe, of_arm)
        depths_of_trunk[name].update(depths)
        trunk_of_arm[arm.arm_id] = name
        deepest[arm.arm_id] = max(depths)
    waypoints = {}
    for arm_id, name in trunk_of_arm.items():
        earlier = []
        for depth in sorted(depths_of_trunk[name]):
            # At 0 there is nothing to keep but the images themselves.
            if 0 < depth < deepest[arm_id]:
                earlier.append(depth)
        waypoints[arm_id] = tuple(earlier)
    return waypoints


def cut_depths(recipe: Recipe, facts: RecipeFacts) -> tuple[int, ...]:
    """Leading units that are neither free nor adapted, in each phase of training."""
    # One phase: adapters can shorten what stays as it is. They do not go with phases.
    if len(facts.phase_depths) <= 1:
        return (cut_depth(recipe, facts),)
    if _mixes_images(recipe):
        return (0,) * len(facts.phase_depths)
    return facts.phase_depths


def cut_depth(recipe: Recipe, facts: RecipeFacts) -> int:
    """Leading units that are neither free nor adapted; none where images are mixed."""
    if _mixes_images(recipe):
        return 0
    if recipe.adapter_kind == "none":
        return facts.depth
    if recipe.adapter_units == "all":
        return 0
    # Adapters sit in the last frozen units: what is in front of them is shared.
    return max(0, facts.depth - recipe.adapter_units)


def _mixes_images(recipe: Recipe) -> bool:
    """Kept activations are of single images: a mixture of two has to pass the whole network."""
    return bool(recipe.mixup or recipe.cutmix)
