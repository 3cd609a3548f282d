"""What names a view: the activations of a frozen prefix on one split, as one epoch shows it.

The activation cache, the plan, the estimate and the placement of trials all name views by
`view_identity`, so what a plan promises to share is what a run shares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ablate.recipe.recipe import Recipe
from ablate.recipe.shown_part import SHOWN_FIELDS
from ablate.study.request import Compute
from ablate.study.weights_identity import WeightsIdentity, are_pretrained, weights_name

CLEAN = "none"
"""The policy's word for images without augmentation: the same in every epoch, for every seed."""


@dataclass(frozen=True, slots=True)
class FrozenTrunk:
    """What determines a frozen prefix's activations, besides how its images are shown.

    Where the trunk is cut is not in it: views of different cuts are made of each other.
    """

    backbone: str
    weights: str
    """Digest of the tensors; a word that stands for it where nobody has loaded them yet."""
    pooling: str
    compute: Mapping[str, Any]
    """How it is computed, as JSON values; before the machine is measured, the precision alone."""
    images: str | None = None
    """Key of the decoded images. In a plan, what the recipe says of how they are shown; None where
    it leaves that to the data, which are those of one study."""
    preprocessing: tuple[float, ...] | None = None
    """None as above."""
    versions: tuple[str, ...] | None = None
    """Of the libraries that compute; None as above."""


@dataclass(frozen=True, slots=True)
class Showing:
    """How the images of a split are shown in one epoch."""

    split: str
    policy: str = CLEAN
    seed: int = 0
    epoch: int = 0
    fine: int | None = None
    """Side in pixels of the finer images that crops are taken from, where there are any."""


def view_identity(trunk: FrozenTrunk, showing: Showing) -> dict[str, Any]:
    """Return all that determines a view's activations but the place of the cut, as JSON values.

    Two views are the same if and only if these are equal. The names are those of cached files:
    changing one makes every cached view a stranger.
    """
    identity: dict[str, Any] = {
        "backbone": trunk.backbone,
        "weights": trunk.weights,
        "pooling": trunk.pooling,
        "compute": dict(trunk.compute),
        "split": showing.split,
        "policy": showing.policy,
    }
    if trunk.images is not None:
        identity["images"] = trunk.images
    if trunk.preprocessing is not None:
        identity["preprocessing"] = list(trunk.preprocessing)
    if trunk.versions is not None:
        identity["versions"] = list(trunk.versions)
    # Clean images are the same for every seed and epoch: left out, so that all trials share them.
    if showing.policy != CLEAN:
        identity |= {"seed": showing.seed, "epoch": showing.epoch}
        if showing.fine is not None:
            identity["fine"] = showing.fine
    return identity


def view_name(trunk: FrozenTrunk, showing: Showing) -> str:
    """Return `view_identity` as one string, for counting and comparing."""
    return json.dumps(view_identity(trunk, showing), sort_keys=True)


def train_views_name(trunk: FrozenTrunk, *, policy: str, seed: int) -> str:
    """Return a name for all of a trial's views of train: trials that share one share them all."""
    # Epoch 0 stands for all of them: the epochs of one seed follow from it.
    return view_name(trunk, Showing("train", policy=policy, seed=seed))


def planned_trunk(
    recipe: Recipe,
    *,
    pooling: str,
    seed: int,
    weights: Mapping[str, WeightsIdentity],
    compute: Compute | None = None,
) -> FrozenTrunk:
    """Return the trunk that a trial of `recipe` will have, before it is built.

    `pooling` is what `auto` means for the backbone. `weights` maps `weights_name` to what was
    loaded; weights that are not in it go by their word. Random ones differ by seed.
    """
    # None where nobody has loaded them yet, as in a plan.
    loaded = weights.get(weights_name(recipe))
    if not are_pretrained(recipe):
        named = f"random, seed {seed}"
    elif loaded is not None:
        named = loaded.digest
    else:
        named = recipe.weights
    if compute is None:
        # `auto` is a precision of its own until the machine has been measured: the plan then
        # promises too little sharing, never too much.
        computed: Mapping[str, Any] = {"precision": recipe.precision}
    else:
        computed = compute.of(recipe).model_dump(mode="json")
    return FrozenTrunk(recipe.backbone, named, pooling, computed, _planned_images(recipe))


def _planned_images(recipe: Recipe) -> str | None:
    """What stands for the key of the images that a recipe is shown, until they are decoded."""
    words = []
    for name in SHOWN_FIELDS:
        value = getattr(recipe, name)
        if value is not None:
            words.append(f"{name}={value}")
    return " ".join(words) or None
