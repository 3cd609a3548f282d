"""A recipe made into a network: weights, head, freeze boundary and adapters, or the facts on it before anything is loaded."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from ablate.errors import SpecError
from ablate.model.adapters import ADAPTERS, NO_ADAPTERS, Adapters, adapted_units
from ablate.model.backbone import (
    classifier_names,
    create_backbone,
    pooling_of,
    preprocessing_of,
    run_order,
    set_pooling,
)
from ablate.model.drop_path import check_drop_path, drop_features, drop_path_of
from ablate.model.facts import ImageSize, Preprocessing, RecipeFacts
from ablate.model.freeze import BatchNormPolicy, FreezeBoundary, freeze, resolve_depth
from ablate.model.linear_head import check_rows, linear_head
from ablate.model.one_image import takes_one_image
from ablate.model.units import Unit, find_units, first_disorder
from ablate.model.weights import digest_of, load_backbone
from ablate.recipe.canonical import contradiction
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import phases_of
from ablate.streams import stream
from ablate.study.weights_identity import WeightsIdentity

_ANY_CLASSES = 2
"""Classes of a network that is built for its trunk's sake."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network ready to train. Parameter names are those of `module`."""

    module: nn.Module
    """Normalised images (B, 3, S, S) float -> logits (B, n_classes), S = preprocessing.image_size."""
    boundary: FreezeBoundary
    units: tuple[Unit, ...]
    head_names: tuple[str, ...]
    adapter_names: tuple[str, ...]
    preprocessing: Preprocessing
    weights: WeightsIdentity
    """What the trunk started from."""
    targets: tuple[str, ...]
    """Modules that carry an adapter."""
    skipped_targets: Mapping[str, str]
    """Module that could have carried one but for its kind -> why."""
    oversized: Mapping[str, str]
    """Target whose adapter has more parameters than the module itself -> both counts."""
    pooling: str
    """timm's word for how the trunk's last map or tokens become one vector, e.g. "avg" or "token"."""

    @property
    def n_parameters(self) -> int:
        return _count(self.module)[0]

    @property
    def n_trainable(self) -> int:
        return _count(self.module)[1]

    def train(self) -> None:
        """Switch to training mode with everything held that the recipe holds fixed."""
        self.module.train()
        self.boundary.hold()


@dataclass(frozen=True, slots=True)
class _Assembled:
    boundary: FreezeBoundary
    units: tuple[Unit, ...]
    head_names: tuple[str, ...]
    adapters: Adapters


def build_network(recipe: Recipe, *, n_classes: int, image_size: ImageSize, seed: int) -> Network:
    """Return the network that a recipe asks for, on the CPU in training mode. Torch's global generator is left as it was.

    The head is drawn from `seed`'s stream "init" and the adapters from "adapter": the same in every arm of a seed. Raises SpecError and WeightsError.
    """
    preprocessing = preprocessing_of(recipe.backbone, image_size=image_size)
    order = run_order(
        recipe.backbone, preprocessing.image_size, recipe.pooling, drop_path_of(recipe)
    )
    with _seeded(stream(seed, "init")):
        module, weights = _loaded(recipe, n_classes=n_classes, image_size=image_size)
    _draw_head(module, seed)
    with _seeded(stream(seed, "adapter")):
        parts = _assemble(module, recipe, order=order, seed=seed)
    return Network(
        module=module,
        boundary=parts.boundary,
        units=parts.units,
        head_names=parts.head_names,
        adapter_names=parts.adapters.parameter_names,
        preprocessing=preprocessing,
        weights=weights,
        targets=parts.adapters.targets,
        skipped_targets=parts.adapters.skipped,
        oversized=parts.adapters.oversized,
        pooling=pooling_of(module),
    )


def identify_weights(recipe: Recipe, *, image_size: ImageSize) -> WeightsIdentity:
    """Load the weights that a recipe names, and say which they are: what `build_network` would start from. Raises SpecError and WeightsError."""
    with _seeded(0):
        return _loaded(recipe, n_classes=_ANY_CLASSES, image_size=image_size)[1]


def check_recipe(recipe: Recipe, *, n_classes: int, image_size: ImageSize) -> RecipeFacts:
    """Return the facts on a recipe without reading weights or taking memory (torch's meta device). Raises SpecError for one that cannot be built."""
    preprocessing = preprocessing_of(recipe.backbone, image_size=image_size)
    order = run_order(
        recipe.backbone, preprocessing.image_size, recipe.pooling, drop_path_of(recipe)
    )
    with _seeded(0), torch.device("meta"):
        module = create_backbone(
            recipe.backbone,
            n_classes=n_classes,
            image_size=image_size,
            drop_path=drop_path_of(recipe),
        )
        set_pooling(module, recipe.pooling, n_classes=n_classes)
        parts = _assemble(module, recipe, order=order, seed=None)
        if recipe.classifier != "linear":
            check_rows(
                module,
                linear_head(module, parts.head_names, recipe),
                recipe,
                image_size=preprocessing.image_size,
            )
    is_trained = recipe.classifier == "linear"
    n_parameters, n_trainable = _count(module)
    return RecipeFacts(
        n_units=len(parts.units),
        unit_names=tuple(unit.name for unit in parts.units),
        depth=parts.boundary.depth,
        phase_depths=phase_depths(recipe, n_units=len(parts.units)),
        n_parameters=n_parameters,
        n_trainable=n_trainable,
        preprocessing=preprocessing,
        targets=parts.adapters.targets,
        skipped_targets=parts.adapters.skipped,
        oversized=parts.adapters.oversized,
        pooling=pooling_of(module),
        takes_one_image=not is_trained
        or takes_one_image(module, image_size=preprocessing.image_size),
    )


def phase_depths(recipe: Recipe, *, n_units: int) -> tuple[int, ...]:
    """Return the leading frozen units in each phase of training. Raises SpecError out of range, and where a later phase freezes what an earlier one trained."""
    depths = tuple(
        resolve_depth(phase.freeze_depth or 0, n_units=n_units, backbone=recipe.backbone)
        for phase in phases_of(recipe)
    )
    if list(depths) != sorted(depths, reverse=True):
        named = ", ".join(str(phase.freeze_depth) for phase in phases_of(recipe))
        raise SpecError(
            f"phases must thaw units and never freeze them again, got freeze_depth {named} for the {n_units} units of {recipe.backbone}"
        )
    return depths


def at_depth(network: Network, depth: int, *, batch_norm: BatchNormPolicy) -> Network:
    """Freeze the first `depth` units of a network without adapters, in place, and return what it is then. The one handed in keeps its own boundary."""
    boundary = freeze(
        network.module,
        network.units,
        depth=depth,
        batch_norm=batch_norm,
        head_names=network.head_names,
    )
    return dataclasses.replace(network, boundary=boundary)


def _loaded(
    recipe: Recipe, *, n_classes: int, image_size: ImageSize
) -> tuple[nn.Module, WeightsIdentity]:
    """The backbone with its weights, pooling as the recipe does, and what the weights are. Draws from torch's global generator."""
    loaded = load_backbone(
        recipe.backbone,
        recipe.weights,
        n_classes=n_classes,
        image_size=image_size,
        drop_path=drop_path_of(recipe),
    )
    module = loaded.module
    set_pooling(
        module, loaded.pooling if recipe.pooling == "auto" else recipe.pooling, n_classes=n_classes
    )
    digest = digest_of(module, _head_names(module))
    return module, WeightsIdentity(source=loaded.source, digest=digest, content=loaded.content)


def _assemble(
    module: nn.Module, recipe: Recipe, *, order: tuple[str, ...], seed: int | None
) -> _Assembled:
    """Freeze and adapt in place. `seed` None: the module is on the meta device and nothing is drawn."""
    reason = contradiction(recipe)
    if reason:
        raise SpecError(f"a recipe must make sense, this one does not: {reason}")
    head_names = _head_names(module)
    units = find_units(module, head_names)
    depths = phase_depths(recipe, n_units=len(units))
    for depth in depths:
        _check_cut(recipe.backbone, units, order, depth)
    depth = depths[-1]
    boundary = freeze(
        module, units, depth=depth, batch_norm=recipe.batch_norm, head_names=head_names
    )
    if drop_path_of(recipe) > 0:
        check_drop_path(module, recipe, resting=boundary.resting, run_order=order)
    if recipe.dropout > 0:
        drop_features(module, p=recipe.dropout)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    adapters = _adapt(module, recipe, units=units, depth=depth, run_order=order, seed=seed)
    now = {
        names[id(parameter)]: name
        for name, parameter in module.named_parameters()
        if id(parameter) in names
    }  # what is wrapped is renamed
    tuned = frozenset(adapters.parameter_names)
    boundary = dataclasses.replace(
        boundary,
        frozen_names=tuple(now[name] for name in boundary.frozen_names if now[name] not in tuned),
    )
    frozen = frozenset(boundary.frozen_names)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name not in frozen)  # peft sets it too, by rules of its own
    units = tuple(
        Unit(unit.name, tuple(now[name] for name in unit.parameter_names)) for unit in units
    )
    module.train()
    boundary.hold()
    return _Assembled(boundary=boundary, units=units, head_names=head_names, adapters=adapters)


def _adapt(
    module: nn.Module,
    recipe: Recipe,
    *,
    units: tuple[Unit, ...],
    depth: int,
    run_order: tuple[str, ...],
    seed: int | None,
) -> Adapters:
    kind = recipe.adapter_kind
    if kind == "none":
        return NO_ADAPTERS
    if depth == 0:
        name = "LoRA" if kind == "lora" else f"adapter {kind}"
        raise SpecError(
            f"freeze_depth must leave a frozen unit for {name} to adapt, got {recipe.freeze_depth}, which frees all {len(units)} of {recipe.backbone}"
        )
    return ADAPTERS[kind](
        module, recipe, units=adapted_units(recipe, units, depth), run_order=run_order, seed=seed
    )


def _check_cut(backbone: str, units: tuple[Unit, ...], order: tuple[str, ...], depth: int) -> None:
    disorder = first_disorder(units, order)
    if disorder is not None and 0 < depth < len(units):
        late, before = disorder
        raise SpecError(
            f"freeze_depth must be all or 0 for {backbone}, whose units do not run one after the other ({late} runs after {before}), got a depth of {depth}"
        )


def _head_names(module: nn.Module) -> tuple[str, ...]:
    prefixes = tuple(f"{name}." for name in classifier_names(module))
    return tuple(name for name, _ in module.named_parameters() if name.startswith(prefixes))


def _draw_head(module: nn.Module, seed: int) -> None:
    """Draw every classifier anew from its own stream, so that it does not depend on how many numbers the trunk's initialisation takes."""
    for name in classifier_names(module):
        classifier = cast(Any, module.get_submodule(name))
        if hasattr(classifier, "reset_parameters"):
            with _seeded(stream(seed, "init", "head", name)):
                classifier.reset_parameters()


@contextmanager
def _seeded(key: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key)
        yield


def _count(module: nn.Module) -> tuple[int, int]:
    """(all parameters, trainable ones), in scalars."""
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in module.parameters()]
    return sum(n for n, _ in counts), sum(n for n, is_trainable in counts if is_trainable)
