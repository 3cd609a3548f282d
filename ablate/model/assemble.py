"""What a recipe does to a module that has its weights: freeze units, drop at random, adapt."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from ablate.errors import SpecError
from ablate.model.adapters import ADAPTERS, NO_ADAPTERS, Adapters, AdapterSite, adapted_units
from ablate.model.backbone import head_names_of
from ablate.model.drop_path import check_drop_path, drop_features, drop_path_of
from ablate.model.freeze import FreezeBoundary, freeze, resolve_depth
from ablate.model.units import Unit, find_units, first_disorder
from ablate.recipe.canonical import contradiction
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import phases_of


@dataclass(frozen=True, slots=True)
class Assembled:
    """What became of a module. Parameter names are those that it has now."""

    boundary: FreezeBoundary
    units: tuple[Unit, ...]
    head_names: tuple[str, ...]
    adapters: Adapters


def assemble(
    module: nn.Module, recipe: Recipe, *, order: tuple[str, ...], seed: int | None
) -> Assembled:
    """Freeze and adapt a module in place, and leave it in training mode.

    `order` is its order of calls. `seed` None: the module is on the meta device and nothing is
    drawn. Raises SpecError for a recipe that does not suit the module.
    """
    reason = contradiction(recipe)
    if reason:
        raise SpecError(f"a recipe must make sense, this one does not: {reason}")
    # names before anything is wrapped: those that timm's groups are matched by
    head_names = head_names_of(module)
    units = find_units(module, head_names)
    depths = phase_depths(recipe, n_units=len(units))
    _check_run_order(recipe.backbone, units, order, depths)
    # the last phase frees the most; earlier ones are held by `at_depth` when they come
    depth = depths[-1]
    boundary = freeze(
        module, units, depth=depth, batch_norm=recipe.batch_norm, head_names=head_names
    )
    if drop_path_of(recipe) > 0:
        check_drop_path(module, recipe, resting=boundary.resting, run_order=order)
    if recipe.dropout > 0:
        drop_features(module, p=recipe.dropout)

    # parameters are followed by identity, since wrapping renames them
    names_before = {id(parameter): name for name, parameter in module.named_parameters()}
    site = AdapterSite(recipe, adapted_units(recipe, units, depth), frozenset(order), seed)
    adapters = _adapt(module, site, n_units=len(units), depth=depth)
    new_name = _renamed(module, names_before)
    adapted = frozenset(adapters.parameter_names)
    frozen_names = []
    for name in boundary.frozen_names:
        # bitfit and norm_tuning let parameters of the frozen units themselves learn
        if new_name[name] not in adapted:
            frozen_names.append(new_name[name])
    boundary = dataclasses.replace(boundary, frozen_names=tuple(frozen_names))
    _set_trainable(module, boundary)
    # in this order: train() wakes what the boundary holds
    module.train()
    boundary.hold()
    renamed_units = [_rename_unit(unit, new_name) for unit in units]
    return Assembled(
        boundary=boundary,
        units=tuple(renamed_units),
        head_names=head_names,
        adapters=adapters,
    )


def phase_depths(recipe: Recipe, *, n_units: int) -> tuple[int, ...]:
    """Return the leading frozen units in each phase of training.

    Raises SpecError out of range, and where a later phase freezes what an earlier one trained.
    """
    phases = phases_of(recipe)
    depths = []
    for phase in phases:
        # `phases_of` fills in every depth: None is there for the type alone
        asked = phase.freeze_depth or 0
        depths.append(resolve_depth(asked, n_units=n_units, backbone=recipe.backbone))
    # from phase to phase fewer units are frozen, or as many
    if depths != sorted(depths, reverse=True):
        asked_depths = ", ".join(str(phase.freeze_depth) for phase in phases)
        raise SpecError(
            "phases must thaw units and never freeze them again, got freeze_depth "
            f"{asked_depths} for the {n_units} units of {recipe.backbone}"
        )
    return tuple(depths)


def _adapt(module: nn.Module, site: AdapterSite, *, n_units: int, depth: int) -> Adapters:
    recipe = site.recipe
    kind = recipe.adapter_kind
    if kind == "none":
        return NO_ADAPTERS
    if depth == 0:
        name = "LoRA" if kind == "lora" else f"adapter {kind}"
        raise SpecError(
            f"freeze_depth must leave a frozen unit for {name} to adapt, "
            f"got {recipe.freeze_depth}, which frees all {n_units} of {recipe.backbone}"
        )
    return ADAPTERS[kind](module, site)


def _renamed(module: nn.Module, names_before: Mapping[int, str]) -> dict[str, str]:
    """Name before adapting -> name now: the parameters of what is wrapped are called otherwise."""
    new_name = {}
    for name, parameter in module.named_parameters():
        before = names_before.get(id(parameter))
        if before is not None:
            new_name[before] = name
    return new_name


def _rename_unit(unit: Unit, new_name: Mapping[str, str]) -> Unit:
    return Unit(unit.name, tuple(new_name[name] for name in unit.parameter_names))


def _set_trainable(module: nn.Module, boundary: FreezeBoundary) -> None:
    """Set `requires_grad` by the boundary: peft sets it too, by rules of its own."""
    frozen = frozenset(boundary.frozen_names)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name not in frozen)


def _check_run_order(
    backbone: str, units: Sequence[Unit], order: Sequence[str], depths: Sequence[int]
) -> None:
    """Raise SpecError for a boundary inside a network whose units do not run in their order."""
    disorder = first_disorder(units, order)
    if disorder is None:
        return
    late, before = disorder
    # all frozen or none: no boundary lies between two units, so their order does not matter
    for depth in depths:
        if 0 < depth < len(units):
            raise SpecError(
                f"freeze_depth must be all or 0 for {backbone}, whose units do not run one after "
                f"the other ({late} runs after {before}), got a depth of {depth}"
            )
