"""Which fields of a recipe matter, what identifies it, and which recipes make no sense."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from ablate.recipe.optimizers import WITH_MOMENTUM
from ablate.recipe.phase import Phase
from ablate.recipe.policy import is_clean
from ablate.recipe.recipe import Recipe
from ablate.recipe.shown_part import SHOWN_FIELDS, USUAL_VIEW
from ablate.recipe.strategy import CONTRADICTIONS as STRATEGY_CONTRADICTIONS
from ablate.recipe.strategy import PHASE_FIELDS, at_phase, frees_trunk, is_single, phases_of
from ablate.recipe.transfer import CONTRADICTIONS as TRANSFER_CONTRADICTIONS
from ablate.recipe.transfer import PENALTIES, penalties_of, trains_below_the_head

Relevance = tuple[tuple[str, ...], Callable[[Recipe], bool]]
"""Fields, and whether they can matter for a recipe."""

FITTED_FIELDS = frozenset(
    {
        "backbone",
        "weights",
        *SHOWN_FIELDS,
        "pooling",
        "freeze_depth",
        "shots",
        "classifier",
        "precision",
    }
)
"""What matters for a fitted classifier: nothing of an optimizer, a schedule or an augmentation."""

# What a fitted classifier may use too; each of these has a rule of its own below.
_WITH_A_RULE = frozenset({"classifier_l2", "neighbours", "class_weights", "effective_beta"})
_OF_A_TRAINED_HEAD = tuple(
    name for name in Recipe.model_fields if name not in FITTED_FIELDS | _WITH_A_RULE
)


def _has_effective_weights(recipe: Recipe) -> bool:
    # A vote of neighbours has no loss that weights could enter.
    return recipe.class_weights == "effective" and recipe.classifier != "knn"


def _accumulates(recipe: Recipe) -> bool:
    # A micro-batch of the whole batch, or a larger one, is the whole batch.
    return recipe.micro_batch is not None and recipe.micro_batch < recipe.batch_size


# Kinds of adapters by what they read: peft's LoRA and DoRA scale by alpha / rank; IA3 (Liu et al.
# 2022) and SSF (Lian et al. 2022) multiply features and have neither rank nor dropout; bottlenecks
# (Houlsby et al. 2019), AdaptFormer (Chen et al. 2022) and VPT (Jia et al. 2022) add modules.
_LOW_RANK = ("lora", "dora")
_ON_NAMED_LAYERS = (*_LOW_RANK, "ia3", "ssf")
_WITH_A_BOTTLENECK = ("bottleneck", "adaptformer")
_WITH_DROPOUT = (*_LOW_RANK, *_WITH_A_BOTTLENECK, "vpt")

# Recipes that differ in idle fields alone are one trial: a rule too many, and one is never trained.
RELEVANCE: tuple[Relevance, ...] = (
    (_OF_A_TRAINED_HEAD, lambda recipe: recipe.classifier == "linear"),
    (("classifier_l2",), lambda recipe: recipe.classifier in ("logistic", "ridge")),
    (("neighbours",), lambda recipe: recipe.classifier == "knn"),
    (("class_weights",), lambda recipe: recipe.classifier != "knn"),
    (("effective_beta",), _has_effective_weights),
    (("focal_gamma",), lambda recipe: recipe.loss == "focal"),
    # `adapter`, not `adapter_kind`: with auto, the rank decides whether there is an adapter at all.
    (("lora_rank",), lambda recipe: recipe.adapter in ("auto", *_LOW_RANK)),
    (("lora_alpha",), lambda recipe: recipe.adapter_kind in _LOW_RANK),
    (("adapter_dropout",), lambda recipe: recipe.adapter_kind in _WITH_DROPOUT),
    (("adapter_targets",), lambda recipe: recipe.adapter_kind in _ON_NAMED_LAYERS),
    (("adapter_units",), lambda recipe: recipe.adapter_kind != "none"),
    (("bottleneck_width",), lambda recipe: recipe.adapter_kind in _WITH_A_BOTTLENECK),
    (("prompt_tokens",), lambda recipe: recipe.adapter_kind == "vpt"),
    # In a frozen unit BatchNorm never moves and timm's drop_path is off: it stays in eval mode.
    (("batch_norm", "layer_decay", "l2_sp", "drop_path"), frees_trunk),
    # lr_ratio is the rate of the trunk and of adapters in it alike.
    (("lr_ratio",), trains_below_the_head),
    # Features of a frozen trunk are what they are: no term beside the loss can move them.
    (PENALTIES, trains_below_the_head),
    (("lwf_temperature",), lambda recipe: "lwf" in penalties_of(recipe)),
    (("bss_k",), lambda recipe: "bss" in penalties_of(recipe)),
    (("momentum",), lambda recipe: recipe.optimizer in WITH_MOMENTUM),
    (("step_every", "step_factor"), lambda recipe: recipe.schedule == "step"),
    (("micro_batch",), _accumulates),
    (("probe_epochs",), lambda recipe: recipe.strategy == "lp_ft" and not recipe.phases),
    (("n_phases",), lambda recipe: recipe.strategy == "gradual" and not recipe.phases),
    (("epochs",), lambda recipe: not recipe.phases),
    # A phase inherits what it leaves out; where every phase sets a field, nothing inherits it.
    (("freeze_depth",), lambda recipe: not _is_set_in_all_phases(recipe, "freeze_depth")),
    (("head_lr",), lambda recipe: not _is_set_in_all_phases(recipe, "head_lr")),
    (("lr_ratio",), lambda recipe: not _is_set_in_all_phases(recipe, "lr_ratio")),
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
    *PENALTIES,
)
"""The fields that `RELEVANCE` reads: 10,000 cells have few combinations of their values."""
# a rule that reads another field must add it there, or `relevant` answers from before
_deciding = attrgetter(*DECIDING)
_FIELDS = {name: field.default for name, field in Recipe.model_fields.items()}


def relevant(recipe: Recipe) -> tuple[str, ...]:
    """Names of the fields that can matter for a recipe, in the order of the fields.

    A switch that is off matters, what it would switch on does not.
    """
    # A dictionary by hand: functools.lru_cache would hash the whole recipe, some 50 fields.
    decided = _deciding(recipe)
    if decided not in _relevant:
        _relevant[decided] = _relevant_by_the_rules(recipe)
    return _relevant[decided]


_relevant: dict[tuple[Any, ...], tuple[str, ...]] = {}
"""Values of the `DECIDING` fields -> what is relevant."""


def _relevant_by_the_rules(recipe: Recipe) -> tuple[str, ...]:
    # several rules may speak of a field (lr_ratio): one that calls it idle is enough
    idle: set[str] = set()
    for names, can_matter in RELEVANCE:
        if not can_matter(recipe):
            idle.update(names)
    kept = []
    for name in _FIELDS:
        if name not in idle:
            kept.append(name)
    return tuple(kept)


def canonical(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON values without the fields that cannot matter.

    Equivalent cells compare equal. Several phases stand in it as they are expanded, in place of the
    strategy and the fields that it took them from; one phase is a recipe without any.
    """
    phases: tuple[Phase, ...] = ()
    if not is_single(recipe):
        phases = phases_of(recipe)
    # one phase written out is the same training as the recipe that has none
    if len(phases) == 1:
        recipe = at_phase(recipe, phases[0])
    kept = _canonical_names(recipe, has_phases=len(phases) > 1)
    fields: dict[str, Any] = recipe.model_dump(mode="json", include=kept)
    # null means a scaling of 1, so it equals the rank written out: two spellings, one arm.
    if "lora_alpha" in fields and recipe.lora_alpha is None:
        fields["lora_alpha"] = float(recipe.lora_rank)
    # A copy of a recipe with a level from YAML may hold 1 where validation makes 1.0, and the two
    # hash differently.
    for name in ("head_lr", "lr_ratio"):
        if name in fields:
            fields[name] = float(fields[name])
    if len(phases) > 1:
        expanded = []
        for phase in phases:
            expanded.append(_canonical_phase(recipe, phase))
        fields["phases"] = expanded
    return fields


def _canonical_names(recipe: Recipe, *, has_phases: bool) -> set[str]:
    """The fields that stand in the canonical form, see `FIRST_FIELDS`."""
    names = set()
    for name in relevant(recipe):
        if name in FIRST_FIELDS or getattr(recipe, name) != _FIELDS[name]:
            names.add(name)
    if recipe.adapter_kind in ("none", "lora"):
        # lora_rank says it by itself, as it did before there were other adapters.
        names.discard("adapter")
    if has_phases:
        names.difference_update(PHASE_FIELDS)
    return names


def _canonical_phase(recipe: Recipe, phase: Phase) -> dict[str, Any]:
    # `until` follows from `patience`: a phase has patience exactly when it ends at a plateau.
    idle = {"until"}
    if at_phase(recipe, phase).freeze_depth == "all":
        # a phase without a free unit has no trunk whose rate it could be
        idle.add("lr_ratio")
    return phase.model_dump(mode="json", exclude=idle)


def _is_set_in_all_phases(recipe: Recipe, name: str) -> bool:
    """Whether every phase sets a field, so that the recipe's cannot matter."""
    if not recipe.phases:
        return False
    return all(getattr(phase, name) is not None for phase in recipe.phases)


def contradiction(recipe: Recipe) -> str | None:
    """Say why a recipe makes no sense, or return None.

    Such cells are excluded with this sentence as their reason.
    """
    for why, is_broken in CONTRADICTIONS:
        if is_broken(recipe):
            return why
    return None


def _is_fitted_in_phases(recipe: Recipe) -> bool:
    return recipe.is_fitted and (recipe.strategy != "single" or bool(recipe.phases))


def _is_fitted_on_changed_images(recipe: Recipe) -> bool:
    is_mixed = recipe.mixup > 0 or recipe.cutmix > 0
    return recipe.is_fitted and (is_mixed or not is_clean(recipe))


def _shares_whole_images(recipe: Recipe) -> bool:
    return recipe.crop_share is not None and recipe.view not in (None, USUAL_VIEW)


CONTRADICTIONS: tuple[tuple[str, Callable[[Recipe], bool]], ...] = (
    (
        "crop_share is of the middle square, and whole images (view squash or pad) have none",
        _shares_whole_images,
    ),
    (
        "lora and dora need a lora_rank of at least 1",
        lambda recipe: recipe.adapter in ("lora", "dora") and recipe.lora_rank == 0,
    ),
    # From before there were other adapters; kept, since reports quote the reason of a cell.
    (
        "LoRA adapts the frozen units, and freeze_depth 0 leaves none",
        lambda recipe: recipe.adapter_kind == "lora" and recipe.freeze_depth == 0,
    ),
    (
        "an adapter adapts the frozen units, and freeze_depth 0 leaves none",
        lambda recipe: recipe.adapter_kind != "none" and recipe.freeze_depth == 0,
    ),
    *STRATEGY_CONTRADICTIONS,
    *TRANSFER_CONTRADICTIONS,
    (
        "a fitted classifier needs a trunk that is frozen whole: freeze_depth all",
        lambda recipe: recipe.is_fitted and recipe.freeze_depth != "all",
    ),
    ("a fitted classifier has no phases", _is_fitted_in_phases),
    (
        "a fitted classifier trains no adapters",
        lambda recipe: recipe.is_fitted and recipe.adapter_kind != "none",
    ),
    (
        "a fitted classifier sees clean images once: no augmentation and no mixing",
        _is_fitted_on_changed_images,
    ),
    # Menon et al. 2021 derive the shift for the softmax; sigmoids per class have no shared sum.
    (
        "logit adjustment shifts the softmax, and bce has none",
        lambda recipe: recipe.logit_adjustment > 0 and recipe.loss == "bce",
    ),
)
