"""What every kind of adapter shares: the record of what was adapted, where adapters go, and how a module is wrapped."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol

import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn

from ablate.errors import SpecError
from ablate.model.units import Unit
from ablate.recipe.recipe import Recipe
from ablate.streams import stream

PLAIN = (nn.Linear, nn.Conv2d, Conv2dSame)
"""Exact types: a subclass may compute something else from its weight."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """What was adapted."""

    parameter_names: tuple[str, ...]
    """The parameters that learn because of the adapters: new ones, or (bitfit, norm_tuning) ones of the frozen units."""
    targets: tuple[str, ...]
    """Modules that carry an adapter."""
    skipped: Mapping[str, str]
    """Module in the adapted units that carries none although its kind could -> why."""
    oversized: Mapping[str, str] = field(default_factory=dict)
    """Target whose adapter has more parameters than the module itself -> both counts, e.g. "640 parameters around 512"."""


NO_ADAPTERS = Adapters(parameter_names=(), targets=(), skipped={})


class AddAdapters(Protocol):
    """One kind of adapter: changes a module in place, the frozen `units` alone.

    New parameters are drawn from `seed`'s stream "adapter", by name, and not drawn where `seed` is None (a network on the meta device). Raises SpecError
    where the kind finds nothing to adapt.
    """

    def __call__(
        self,
        module: nn.Module,
        recipe: Recipe,
        *,
        units: Sequence[Unit],
        run_order: Sequence[str],
        seed: int | None,
    ) -> Adapters:
        """Adapt and return what was adapted."""
        ...


class Wrapped(nn.Module):
    """A module with something learned around it."""

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer


def owners_of(units: Sequence[Unit]) -> list[str]:
    """Names of the modules that own a parameter of `units`, in their order."""
    return list(
        dict.fromkeys(
            name.rpartition(".")[0]
            for name in chain.from_iterable(unit.parameter_names for unit in units)
        )
    )


def choose_targets(
    module: nn.Module,
    recipe: Recipe,
    *,
    units: Sequence[Unit],
    types: tuple[type, ...],
    why_not: Callable[[str, nn.Module], str],
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return (names of the modules to adapt, name -> why not for the others) among the modules of `units` that are of `types`.

    Raises SpecError where `adapter_targets` matches nothing eligible, listing names that exist.
    """
    verdicts = {
        name: why_not(name, child)
        for name in owners_of(units)
        if isinstance(child := module.get_submodule(name), types)
    }
    wanted = [
        name
        for name in verdicts
        if recipe.adapter_targets == "auto"
        or any(fnmatch.fnmatchcase(name, pattern) for pattern in recipe.adapter_targets)
    ]
    targets = tuple(name for name in wanted if not verdicts[name])
    if not targets:
        eligible = [name for name, why in verdicts.items() if not why]
        raise SpecError(_nothing_matches(recipe, [unit.name for unit in units], eligible))
    return targets, {name: verdicts[name] for name in wanted if verdicts[name]}


def wrap(module: nn.Module, name: str, wrapper: Callable[[nn.Module], Wrapped]) -> Wrapped:
    """Put `wrapper` around the module `name` in place; return what stands there now."""
    parent, _, leaf = name.rpartition(".")
    wrapped = wrapper(module.get_submodule(name))
    setattr(module.get_submodule(parent), leaf, wrapped)
    return wrapped


def new_names(wrapped: Mapping[str, Wrapped]) -> tuple[str, ...]:
    """Names of the parameters that wrappers brought, by the wrapped modules' names."""
    return tuple(
        f"{name}.{own}"
        for name, wrapper in wrapped.items()
        for own, _ in wrapper.named_parameters()
        if not own.startswith("base_layer.")
    )


def generator_of(seed: int, name: str) -> torch.Generator:
    """The generator that draws the parameter `name` of an adapter: the same whatever else is adapted."""
    return torch.Generator().manual_seed(stream(seed, "adapter", name))


def oversized(
    module: nn.Module, targets: Sequence[str], parameter_names: Sequence[str]
) -> dict[str, str]:
    """Return the targets whose adapter has more parameters than the module that it adapts."""
    own = frozenset(parameter_names)
    found = {}
    for target in targets:
        sizes = {
            f"{target}.{name}": parameter.numel()
            for name, parameter in module.get_submodule(target).named_parameters()
        }
        added = sum(size for name, size in sizes.items() if name in own)
        base = sum(sizes.values()) - added
        if added > base:
            found[target] = f"{added:,} parameters around {base:,}"
    return found


def read_only(name: str, run_order: frozenset[str]) -> str:
    """Why a module that is never called cannot be adapted, or an empty string."""
    return "" if name in run_order else "its parent reads the weight without calling it"


def first_output(output: Any) -> Tensor:
    """The output of a wrapped module, which must be one tensor. Raises TypeError."""
    if not isinstance(output, Tensor):
        raise TypeError(f"an adapted module must return one tensor, got {type(output).__name__}")
    return output


def units_text(recipe: Recipe, units: Sequence[Unit]) -> str:
    """e.g. `the frozen units blocks.4, blocks.5 of test_vit`."""
    return f"the frozen units {', '.join(unit.name for unit in units)} of {recipe.backbone}"


def _nothing_matches(recipe: Recipe, unit_names: Sequence[str], eligible: Sequence[str]) -> str:
    where = f"the frozen units {', '.join(unit_names)} of {recipe.backbone}"
    asked = "auto" if recipe.adapter_targets == "auto" else list(recipe.adapter_targets)
    hint = (
        f"eligible there: {', '.join(eligible[:5])}{' ...' if len(eligible) > 5 else ''}"
        if eligible
        else "nothing there is eligible; adapt more units"
    )
    layers = {"ia3": "a Linear or a convolution", "ssf": "a Linear, a convolution or a LayerNorm"}
    return f"adapter_targets must match {layers.get(recipe.adapter_kind, 'a Linear or an ungrouped convolution')} in {where}, got {asked}; {hint}"
