"""Penalties that hold a trunk to what it knew: which of them a recipe has, and what they need."""

from __future__ import annotations

from collections.abc import Callable

from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import frees_trunk

PENALTIES = ("lwf", "co_tuning", "delta", "bss")
"""Weights of terms beside the loss, in the order in which they are added and reported."""


def trains_below_the_head(recipe: Recipe) -> bool:
    """Whether features can change: some phase frees a unit, or adapters learn."""
    return frees_trunk(recipe) or recipe.adapter_kind != "none"


def penalties_of(recipe: Recipe) -> dict[str, float]:
    """Name -> weight of the penalties that a recipe has; none where only a head learns."""
    if not trains_below_the_head(recipe):
        return {}
    weights = {}
    for name in PENALTIES:
        weight = float(getattr(recipe, name))
        if weight > 0:
            weights[name] = weight
    return weights


def uses_source_classifier(recipe: Recipe) -> bool:
    """Whether training needs the classifier that the weights were pretrained with."""
    return not {"lwf", "co_tuning"}.isdisjoint(penalties_of(recipe))


def needs_rows_of_features(recipe: Recipe) -> bool:
    """Whether training needs one vector of features for each image, as a linear head sees it."""
    return not {"lwf", "co_tuning", "bss"}.isdisjoint(penalties_of(recipe))


def source_recipe(recipe: Recipe) -> Recipe:
    """The recipe of the pretrained network by itself: nothing learns, and images are clean.

    What it has in common with `recipe` are the network, how it computes and what it is shown.
    """
    changed = {}
    for name in _OF_TRAINING:
        changed[name] = Recipe.model_fields[name].default
    return recipe.model_copy(update=changed)


_OF_TRAINING = (
    *PENALTIES,
    "freeze_depth",
    "strategy",
    "phases",
    "adapter",
    "lora_rank",
    "classifier",
    "dropout",
    "drop_path",
    "augment",
    "flip",
    "color_jitter",
    "erase",
    "mixup",
    "cutmix",
    "shots",
    "sampler",
)
"""Fields by which a trial's network or its images differ from the pretrained network on clean
images."""


def _lacks_source_classifier(recipe: Recipe) -> bool:
    return recipe.weights == "none" and uses_source_classifier(recipe)


def _pools_otherwise(recipe: Recipe) -> bool:
    return recipe.pooling != "auto" and uses_source_classifier(recipe)


def _shrinks_everything(recipe: Recipe) -> bool:
    return "bss" in penalties_of(recipe) and recipe.bss_k >= recipe.batch_size


CONTRADICTIONS: tuple[tuple[str, Callable[[Recipe], bool]], ...] = (
    (
        "lwf and co_tuning hold on to the pretrained classifier, and weights: none has none",
        _lacks_source_classifier,
    ),
    (
        "lwf and co_tuning use the pretrained classifier, which knows features of its own "
        "pooling: auto",
        _pools_otherwise,
    ),
    (
        "bss shrinks the smallest singular values of a batch, and bss_k of batch_size or more "
        "are all of them",
        _shrinks_everything,
    ),
)
"""Reasons and the recipes that they exclude."""
