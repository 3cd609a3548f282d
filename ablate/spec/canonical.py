"""Which fields of a recipe matter, what identifies it, and which recipes make no sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ablate.spec.policy import is_clean
from ablate.spec.recipe import Recipe

Relevance = tuple[tuple[str, ...], Callable[[Recipe], bool]]
"""Fields, and whether they can matter for a recipe."""

FITTED_FIELDS = frozenset({"backbone", "weights", "freeze_depth", "shots", "classifier", "precision"})
"""What matters for a classifier that is fitted at once: nothing of an optimizer, a schedule or a view."""

RELEVANCE: tuple[Relevance, ...] = (
    (
        tuple(name for name in Recipe.model_fields if name not in FITTED_FIELDS | {"classifier_l2", "neighbours", "class_weights", "effective_beta"}),
        lambda recipe: recipe.classifier == "linear",
    ),
    (("classifier_l2",), lambda recipe: recipe.classifier in ("logistic", "ridge")),
    (("neighbours",), lambda recipe: recipe.classifier == "knn"),
    (("class_weights",), lambda recipe: recipe.classifier != "knn"),
    (("effective_beta",), lambda recipe: recipe.class_weights == "effective" and recipe.classifier != "knn"),
    (("focal_gamma",), lambda recipe: recipe.loss == "focal"),
    (("lora_alpha", "lora_dropout", "lora_targets", "lora_units"), lambda recipe: recipe.lora_rank > 0),
    (("batch_norm",), lambda recipe: recipe.freeze_depth != "all"),
    (("lr_ratio",), lambda recipe: recipe.freeze_depth != "all" or recipe.lora_rank > 0),
    (("momentum",), lambda recipe: recipe.optimizer == "sgd"),
)
"""A field that is not listed always matters."""

FIRST_FIELDS = frozenset(
    {
        "backbone",
        "weights",
        "freeze_depth",
        "head_lr",
        "lr_ratio",
        "optimizer",
        "momentum",
        "weight_decay",
        "schedule",
        "warmup",
        "epochs",
        "batch_size",
        "patience",
        "augment",
        "label_smoothing",
        "class_weights",
        "batch_norm",
        "lora_alpha",
        "lora_dropout",
        "lora_targets",
        "lora_units",
        "precision",
    }
)
"""Fields that always stand in the canonical form where they matter. A field that came later is left out while it has its default, which is what recipes
did before there was such a field: so trials keep their ids, and finished ones are not trained again."""


def relevant(recipe: Recipe) -> tuple[str, ...]:
    """Names of the fields that can matter for a recipe, in the order of the fields; a switch that is off matters, what it would switch on does not."""
    idle = {name for names, matter in RELEVANCE if not matter(recipe) for name in names}
    return tuple(name for name in Recipe.model_fields if name not in idle)


def canonical(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as JSON values without the fields that cannot matter, so that equivalent cells compare equal."""
    fields = recipe.model_dump(mode="json", include=set(relevant(recipe)))
    if "lora_alpha" in fields and recipe.lora_alpha is None:
        fields["lora_alpha"] = float(recipe.lora_rank)
    return {name: value for name, value in fields.items() if name in FIRST_FIELDS or getattr(recipe, name) != Recipe.model_fields[name].default}


def contradiction(recipe: Recipe) -> str | None:
    """Say why a recipe makes no sense, or return None. Such cells are excluded with this sentence as their reason."""
    return next((why for why, is_broken in CONTRADICTIONS if is_broken(recipe)), None)


CONTRADICTIONS: tuple[tuple[str, Callable[[Recipe], bool]], ...] = (
    ("LoRA adapts the frozen units, and freeze_depth 0 leaves none", lambda recipe: recipe.lora_rank > 0 and recipe.freeze_depth == 0),
    ("a fitted classifier needs a trunk that is frozen whole: freeze_depth all", lambda recipe: recipe.classifier != "linear" and recipe.freeze_depth != "all"),
    ("a fitted classifier trains no adapters", lambda recipe: recipe.classifier != "linear" and recipe.lora_rank > 0),
    (
        "a fitted classifier sees clean images once: no augmentation and no mixing",
        lambda recipe: recipe.classifier != "linear" and (not is_clean(recipe) or recipe.mixup > 0 or recipe.cutmix > 0),
    ),
    ("logit adjustment shifts the softmax, and bce has none", lambda recipe: recipe.logit_adjustment > 0 and recipe.loss == "bce"),
)
