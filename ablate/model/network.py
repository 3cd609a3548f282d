"""A recipe made into a network: weights, head, freeze boundary and adapters.

Or the facts on it, before anything is loaded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from ablate.model.assemble import assemble, phase_depths
from ablate.model.backbone import (
    create_backbone,
    pooling_of,
    preprocessing_of,
    set_pooling,
)
from ablate.model.backbone_facts import ImageSize, Preprocessing, RecipeFacts
from ablate.model.drawn_head import draw_head, seeded
from ablate.model.freeze import BatchNormPolicy, FreezeBoundary, freeze
from ablate.model.kept_backbone import load_trunk
from ablate.model.linear_head import check_rows, linear_head
from ablate.model.single_image_norm import takes_one_image
from ablate.model.trunk_spec import trunk_spec
from ablate.model.units import Unit
from ablate.recipe.recipe import Recipe
from ablate.recipe.transfer import needs_rows_of_features
from ablate.streams import stream
from ablate.study.weights_identity import WeightsIdentity

_ANY_CLASSES = 2
"""Classes of a network that is built for its trunk's sake."""


@dataclass(frozen=True)
class Network:
    """A network ready to train. Parameter names are those of `module`."""

    module: nn.Module
    """Normalised images (B, 3, S, S) float -> logits (B, n_classes); S is the preprocessing's
    image_size."""
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
    """timm's word for how the trunk's last map or tokens become one vector, e.g. "avg", "token"."""

    @property
    def n_parameters(self) -> int:
        return _n_parameters(self.module)

    @property
    def n_trainable(self) -> int:
        return _n_trainable(self.module)

    def train(self) -> None:
        """Switch to training mode with everything held that the recipe holds fixed."""
        self._set_mode(is_training=True)

    def eval(self) -> None:
        """Switch to evaluation mode."""
        self._set_mode(is_training=False)

    def _set_mode(self, *, is_training: bool) -> None:
        if self._awake is None:
            self.module.train(is_training)
            self.boundary.hold()
            return
        # What rests stays in eval mode. Of a probe that is nearly everything, and torch's own way
        # through all of it takes longer than a step of training.
        self.boundary.hold()
        for module in self._awake:
            module.training = is_training

    @cached_property
    def _awake(self) -> tuple[nn.Module, ...] | None:
        """The modules that do not rest; None where one of them has a mode of its own."""
        resting = set(map(id, self.boundary.resting))
        modules = tuple(self.module.modules())
        if any(type(module).train is not nn.Module.train for module in modules):
            return None
        return tuple(module for module in modules if id(module) not in resting)


def build_network(recipe: Recipe, *, n_classes: int, image_size: ImageSize, seed: int) -> Network:
    """Return the network that a recipe asks for, on the CPU in training mode.

    The head is drawn from `seed`'s stream "init" and the adapters from "adapter": the same in every
    arm of a seed. Torch's global generator is left as it was. Raises SpecError and WeightsError.
    """
    asked = trunk_spec(recipe, n_classes=n_classes, image_size=image_size)
    preprocessing = preprocessing_of(recipe.backbone, image_size=image_size)
    # before weights are read: an image size that does not fit is refused at once
    order = asked.run_order(preprocessing.image_size)
    # `weights: none` draws the trunk here, from torch's global generator
    with seeded(stream(seed, "init")):
        trunk = load_trunk(asked)
    module = trunk.module
    # pretrained or not, the head is drawn: its classes are the data set's
    draw_head(module, seed)
    # peft and torch initialise what is drawn anew by name afterwards: the seed makes it repeatable
    with seeded(stream(seed, "adapter")):
        parts = assemble(module, recipe, order=order, seed=seed)
    return Network(
        module=module,
        boundary=parts.boundary,
        units=parts.units,
        head_names=parts.head_names,
        adapter_names=parts.adapters.parameter_names,
        preprocessing=preprocessing,
        weights=trunk.weights,
        targets=parts.adapters.targets,
        skipped_targets=parts.adapters.skipped,
        oversized=parts.adapters.oversized,
        # asked of the module: the recipe may say "auto"
        pooling=pooling_of(module),
    )


def identify_weights(recipe: Recipe, *, image_size: ImageSize) -> WeightsIdentity:
    """Load the weights that a recipe names, and say which they are.

    They are what `build_network` would start from. Raises SpecError and WeightsError.
    """
    with seeded(0):
        asked = trunk_spec(recipe, n_classes=_ANY_CLASSES, image_size=image_size)
        return load_trunk(asked).weights


def check_recipe(recipe: Recipe, *, n_classes: int, image_size: ImageSize) -> RecipeFacts:
    """Return the facts on a recipe without reading weights or taking memory.

    Runs on torch's meta device. Raises SpecError for a recipe that cannot be built.
    """
    asked = trunk_spec(recipe, n_classes=n_classes, image_size=image_size)
    preprocessing = preprocessing_of(recipe.backbone, image_size=image_size)
    side = preprocessing.image_size
    order = asked.run_order(side)
    # whatever is drawn on the way, the global generator stays as it was
    with seeded(0), torch.device("meta"):
        module = create_backbone(
            recipe.backbone,
            n_classes=n_classes,
            image_size=image_size,
            drop_path=asked.drop_path,
        )
        set_pooling(module, recipe.pooling, n_classes=n_classes)
        parts = assemble(module, recipe, order=order, seed=None)
        # another classifier is fitted to rows of features and then put into a linear head
        is_fitted = recipe.classifier != "linear"
        if is_fitted or needs_rows_of_features(recipe):
            head = linear_head(module, parts.head_names, recipe)
            check_rows(module, head, recipe, image_size=side)
    return RecipeFacts(
        n_units=len(parts.units),
        unit_names=tuple(unit.name for unit in parts.units),
        depth=parts.boundary.depth,
        phase_depths=phase_depths(recipe, n_units=len(parts.units)),
        n_parameters=_n_parameters(module),
        n_trainable=_n_trainable(module),
        preprocessing=preprocessing,
        targets=parts.adapters.targets,
        skipped_targets=parts.adapters.skipped,
        oversized=parts.adapters.oversized,
        pooling=pooling_of(module),
        # a fitted classifier takes no training steps, so none can fail on a single image
        takes_one_image=is_fitted or takes_one_image(module, image_size=side),
    )


def at_depth(network: Network, depth: int, *, batch_norm: BatchNormPolicy) -> Network:
    """Freeze the first `depth` units of a network without adapters, in place.

    Returns the network as it is then. The one handed in keeps its own boundary.
    """
    boundary = freeze(
        network.module,
        network.units,
        depth=depth,
        batch_norm=batch_norm,
        head_names=network.head_names,
    )
    # a new record around the same module
    return dataclasses.replace(network, boundary=boundary)


def _n_parameters(module: nn.Module) -> int:
    """All parameters, in scalars."""
    return sum(parameter.numel() for parameter in module.parameters())


def _n_trainable(module: nn.Module) -> int:
    """Parameters that learn, in scalars."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
