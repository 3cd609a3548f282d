"""Which fields of a recipe matter, what identifies it, and which recipes make no sense."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from ablate.recipe.optimizers import WITH_MOMENTUM
from ablate.recipe.phase import Phase
from ablate.recipe.policy import is_clean
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import CONTRADICTIONS as STRATEGY_CONTRADICTIONS
from ablate.recipe.strategy import PHASE_FIELDS, at_phase, frees_trunk, is_single, phases_of

Relevance = tuple[tuple[str, ...], Callable[[Recipe], bool]]
"""Fields, and whether they can matter for a recipe."""

FITTED_FIELDS = frozenset(
    {"backbone", "weights", "pooling", "freeze_depth", "shots", "classifier", "precision"}
)
"""What matters for a fitted classifier: nothing of an optimizer, a schedule or a view."""

RELEVANCE: tuple[Relevance, ...] = (
    (
        tuple(
            name
            for name in Recipe.model_fields
            if name
            not in FITTED_FIELDS
            | {"classifier_l2", "neighbours", "class_weights", "effective_beta"}
        ),
        lambda recipe: recipe.classifier == "linear",
    ),
    (("classifier_l2",), lambda recipe: recipe.classifier in ("logistic", "ridge")),
    (("neighbours",), lambda recipe: recipe.classifier == "knn"),
    (("class_weights",), lambda recipe: recipe.classifier != "knn"),
    (
        ("effective_beta",),
        lambda recipe: recipe.class_weights == "effective" and recipe.classifier != "knn",
    ),
    (("focal_gamma",), lambda recipe: recipe.loss == "focal"),
    (("lora_rank",), lambda recipe: recipe.adapter in ("auto", "lora", "dora")),
    (("lora_alpha",), lambda recipe: recipe.adapter_kind in ("lora", "dora")),
    (
        ("adapter_dropout",),
        lambda recipe: recipe.adapter_kind in ("lora", "dora", "bottleneck", "adaptformer", "vpt"),
    ),
    (("adapter_targets",), lambda recipe: recipe.adapter_kind in ("lora", "dora", "ia3", "ssf")),
    (("adapter_units",), lambda recipe: recipe.adapter_kind != "none"),
    (("bottleneck_width",), lambda recipe: recipe.adapter_kind in ("bottleneck", "adaptformer")),
    (("prompt_tokens",), lambda recipe: recipe.adapter_kind == "vpt"),
    (("batch_norm", "layer_decay", "l2_sp", "drop_path"), lambda recipe: frees_trunk(recipe)),
    (("lr_ratio",), lambda recipe: frees_trunk(recipe) or recipe.adapter_kind != "none"),
    (("momentum",), lambda recipe: recipe.optimizer in WITH_MOMENTUM),
    (("step_every", "step_factor"), lambda recipe: recipe.schedule == "step"),
    (
        ("micro_batch",),
        lambda recipe: (recipe.micro_batch or recipe.batch_size) < recipe.batch_size,
    ),
    (("probe_epochs",), lambda recipe: recipe.strategy == "lp_ft" and not recipe.phases),
    (("n_phases",), lambda recipe: recipe.strategy == "gradual" and not recipe.phases),
    (("epochs",), lambda recipe: not recipe.phases),
    (("freeze_depth",), lambda recipe: not _all_say(recipe, "freeze_depth")),
    (("head_lr",), lambda recipe: not _all_say(recipe, "head_lr")),
    (("lr_ratio",), lambda recipe: not _all_say(recipe, "lr_ratio")),
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
        "adapter_dropout",
        "adapter_targets",
        "adapter_units",
        "precision",
    }
)
"""Fields that always stand in the canonical form where they matter.

A field that came later is left out while it has its default, which is what recipes did before there
was such a field: so trials keep their ids, and finished ones are not trained again.
"""


DECIDING = (
    "classifier",
    "class_weights",
    "loss",
    "adapter",
    "lora_rank",
    "freeze_depth",
    "optimizer",
    "schedule",
    "micro_batch",
    "batch_size",
    "strategy",
    "phases",
)
"""The fields that `RELEVANCE` reads: 10,000 cells have few combinations of their values."""
_deciding = attrgetter(*DECIDING)
_FIELDS = {name: field.default for name, field in Recipe.model_fields.items()}


def relevant(recipe: Recipe) -> tuple[str, ...]:
    """Names of the fields that can matter for a recipe, in the order of the fields.

    A switch that is off matters, what it would switch on does not.
    """
    decided = _deciding(recipe)
    if decided not in _relevant:
        idle = {name for names, matter in RELEVANCE if not matter(recipe) for name in names}
        _relevant[decided] = tuple(name for name in _FIELDS if name not in idle)
    return _relevant[decided]


_relevant: dict[tuple[Any, ...], tuple[str, ...]] = {}
"""Values of the `DECIDING` fields -> what is relevant."""


def canonical(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON values without the fields that cannot matter.

    Equivalent cells compare equal. Several phases stand in it as they are expanded, in place of the
    strategy and the fields that it took them from; one phase is a recipe without any.
    """
    phases = () if is_single(recipe) else phases_of(recipe)
    if len(phases) == 1:
        recipe = at_phase(recipe, phases[0])
    idle: set[str] = set()
    if recipe.adapter_kind in ("none", "lora"):
        # lora_rank says it by itself, as it did before there were other adapters.
        idle.add("adapter")
    if len(phases) > 1:
        idle.update(PHASE_FIELDS)
    kept = {name for name in relevant(recipe) if name not in idle and _stands(recipe, name)}
    fields: dict[str, Any] = recipe.model_dump(mode="json", include=kept)
    if "lora_alpha" in fields and recipe.lora_alpha is None:
        fields["lora_alpha"] = float(recipe.lora_rank)
    # A copy of a recipe with a level from YAML may hold 1 where validation makes 1.0, and the two
    # hash differently.
    for name in ("head_lr", "lr_ratio"):
        if name in fields:
            fields[name] = float(fields[name])
    if len(phases) > 1:
        fields["phases"] = [_canonical_phase(recipe, phase) for phase in phases]
    return fields


def _stands(recipe: Recipe, name: str) -> bool:
    """Whether a field that matters stands in the canonical form, see `FIRST_FIELDS`."""
    return name in FIRST_FIELDS or getattr(recipe, name) != _FIELDS[name]


def _canonical_phase(recipe: Recipe, phase: Phase) -> dict[str, Any]:
    idle = {"until"}
    if at_phase(recipe, phase).freeze_depth == "all":
        idle.add("lr_ratio")
    return phase.model_dump(mode="json", exclude=idle)


def _all_say(recipe: Recipe, name: str) -> bool:
    """Whether every phase has a field of its own, so that the recipe's cannot matter."""
    return bool(recipe.phases) and all(getattr(phase, name) is not None for phase in recipe.phases)


def contradiction(recipe: Recipe) -> str | None:
    """Say why a recipe makes no sense, or return None.

    Such cells are excluded with this sentence as their reason.
    """
    return next((why for why, is_broken in CONTRADICTIONS if is_broken(recipe)), None)


CONTRADICTIONS: tuple[tuple[str, Callable[[Recipe], bool]], ...] = (
    (
        "lora and dora need a lora_rank of at least 1",
        lambda recipe: recipe.adapter in ("lora", "dora") and recipe.lora_rank == 0,
    ),
    (
        "LoRA adapts the frozen units, and freeze_depth 0 leaves none",
        lambda recipe: recipe.adapter_kind == "lora" and recipe.freeze_depth == 0,
    ),
    (
        "an adapter adapts the frozen units, and freeze_depth 0 leaves none",
        lambda recipe: recipe.adapter_kind != "none" and recipe.freeze_depth == 0,
    ),
    *STRATEGY_CONTRADICTIONS,
    (
        "a fitted classifier needs a trunk that is frozen whole: freeze_depth all",
        lambda recipe: recipe.classifier != "linear" and recipe.freeze_depth != "all",
    ),
    (
        "a fitted classifier has no phases",
        lambda recipe: (
            recipe.classifier != "linear" and (recipe.strategy != "single" or bool(recipe.phases))
        ),
    ),
    (
        "a fitted classifier trains no adapters",
        lambda recipe: recipe.classifier != "linear" and recipe.adapter_kind != "none",
    ),
    (
        "a fitted classifier sees clean images once: no augmentation and no mixing",
        lambda recipe: (
            recipe.classifier != "linear"
            and (not is_clean(recipe) or recipe.mixup > 0 or recipe.cutmix > 0)
        ),
    ),
    (
        "logit adjustment shifts the softmax, and bce has none",
        lambda recipe: recipe.logit_adjustment > 0 and recipe.loss == "bce",
    ),
)
