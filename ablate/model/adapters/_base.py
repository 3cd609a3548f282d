"""What every kind of adapter shares.

Where adapters go, the record of what was adapted, and how a module is wrapped.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn

from ablate.errors import SpecError
from ablate.model.units import Unit, owner_of
from ablate.recipe.recipe import Recipe
from ablate.streams import stream

PLAIN = (nn.Linear, nn.Conv2d, Conv2dSame)
"""Exact types: a subclass may compute something else from its weight."""
_N_LISTED = 5
"""Eligible modules that an error lists."""


@dataclass(frozen=True, slots=True)
class AdapterSite:
    """Where adapters go, and from which seed they are drawn."""

    recipe: Recipe
    units: Sequence[Unit]
    """The frozen units to adapt."""
    called: frozenset[str]
    """The modules that a forward pass calls; an adapter around another would do nothing."""
    seed: int | None
    """Of the stream "adapter"; None: the network is on the meta device, and nothing is drawn."""

    @property
    def owners(self) -> list[str]:
        """Names of the modules that own a parameter of the units, in their order."""
        names: dict[str, None] = {}
        for unit in self.units:
            for parameter_name in unit.parameter_names:
                # a dict as an ordered set: the owner of a weight and a bias is listed once
                names[owner_of(parameter_name)] = None
        return list(names)

    def __str__(self) -> str:
        """E.g. `the frozen units blocks.4, blocks.5 of test_vit`."""
        names = ", ".join(unit.name for unit in self.units)
        return f"the frozen units {names} of {self.recipe.backbone}"


@dataclass(frozen=True, slots=True)
class Adapters:
    """What was adapted."""

    parameter_names: tuple[str, ...]
    """The parameters that learn because of the adapters: new ones, or (bitfit, norm_tuning) ones of
    the frozen units."""
    targets: tuple[str, ...]
    """Modules that carry an adapter."""
    skipped: Mapping[str, str]
    """Module in the adapted units that carries none although its kind could -> why."""
    oversized: Mapping[str, str] = field(default_factory=dict)
    """Target whose adapter has more parameters than the module itself -> both counts, e.g. "640
    parameters around 512"."""


# shared by every network without adapters: frozen, so nobody can add to it
NO_ADAPTERS = Adapters(parameter_names=(), targets=(), skipped={})


class AddAdapters(Protocol):
    """One kind of adapter: changes a module in place, at its site alone.

    New parameters are drawn from the site's seed, by name. Raises SpecError where the kind finds
    nothing to adapt.
    """

    def __call__(self, module: nn.Module, site: AdapterSite) -> Adapters:
        """Adapt and return what was adapted."""
        ...


class Wrapped(nn.Module):
    """A module with something learned around it."""

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        # peft's name for it, so that weight files and merging treat both alike
        self.base_layer = base_layer


def choose_targets(
    module: nn.Module,
    site: AdapterSite,
    *,
    types: tuple[type, ...],
    why_not: Callable[[str, nn.Module], str],
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return (names of the modules to adapt, name -> why not for the others).

    Considered are the modules of the site that are of `types` and that `adapter_targets` matches.
    Raises SpecError where it matches nothing eligible, listing names that exist.
    """
    # every layer of a fitting type gets a verdict, asked for or not: the error below lists those
    # that could have been asked for
    verdicts = {}
    for name in site.owners:
        child = module.get_submodule(name)
        if isinstance(child, types):
            verdicts[name] = why_not(name, child)
    targets = []
    skipped = {}
    for name, reason in verdicts.items():
        if not _is_asked_for(site.recipe, name):
            continue
        if reason:
            # what is asked for and cannot be adapted is recorded, not refused
            skipped[name] = reason
        else:
            targets.append(name)
    if not targets:
        eligible = [name for name, reason in verdicts.items() if not reason]
        raise SpecError(_nothing_matches(site, eligible))
    return tuple(targets), skipped


def wrap(module: nn.Module, name: str, wrapper: Callable[[nn.Module], Wrapped]) -> Wrapped:
    """Put `wrapper` around the module `name` in place; return what stands there now."""
    wrapped = wrapper(module.get_submodule(name))
    replace_child(module, name, wrapped)
    return wrapped


def replace_child(module: nn.Module, name: str, child: nn.Module) -> None:
    """Put `child` where the module `name` stands, in place."""
    parent, _, leaf = name.rpartition(".")
    # an assignment to a known attribute keeps its place in the order of modules and parameters
    setattr(module.get_submodule(parent), leaf, child)


def new_names(wrapped: Mapping[str, Wrapped]) -> tuple[str, ...]:
    """Names of the parameters that wrappers brought, by the wrapped modules' names."""
    names = []
    for module_name, wrapper in wrapped.items():
        for leaf, _ in wrapper.named_parameters():
            # what the wrapped layer brought with it is named below `base_layer`
            if not leaf.startswith("base_layer."):
                names.append(f"{module_name}.{leaf}")
    return tuple(names)


def generator_of(seed: int, name: str) -> torch.Generator:
    """The generator that draws an adapter's parameter: the same whatever else is adapted."""
    # on the CPU: a GPU's generator would draw other numbers
    return torch.Generator().manual_seed(stream(seed, "adapter", name))


def oversized(
    module: nn.Module, targets: Sequence[str], parameter_names: Sequence[str]
) -> dict[str, str]:
    """Return the targets whose adapter has more parameters than the module that it adapts."""
    added_names = frozenset(parameter_names)
    too_large = {}
    for target in targets:
        n_added = 0
        n_base = 0
        # a wrapper holds both: its own parameters and, below `base_layer`, those of the layer
        for leaf, parameter in module.get_submodule(target).named_parameters():
            if f"{target}.{leaf}" in added_names:
                n_added += parameter.numel()
            else:
                n_base += parameter.numel()
        if n_added > n_base:
            too_large[target] = f"{n_added:,} parameters around {n_base:,}"
    return too_large


def read_only(name: str, called: frozenset[str]) -> str:
    """Why a module that is never called cannot be adapted, or an empty string."""
    if name in called:
        return ""
    return "its parent reads the weight without calling it"


def first_output(output: Any) -> Tensor:
    """The output of a wrapped module, which must be one tensor. Raises TypeError."""
    if not isinstance(output, Tensor):
        raise TypeError(f"an adapted module must return one tensor, got {type(output).__name__}")
    return output


def _is_asked_for(recipe: Recipe, name: str) -> bool:
    if recipe.adapter_targets == "auto":
        return True
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in recipe.adapter_targets)


def _nothing_matches(site: AdapterSite, eligible: Sequence[str]) -> str:
    recipe = site.recipe
    asked: str | list[str] = "auto"
    if recipe.adapter_targets != "auto":
        asked = list(recipe.adapter_targets)
    hint = "nothing there is eligible; adapt more units"
    if eligible:
        hint = f"eligible there: {', '.join(eligible[:_N_LISTED])}"
    if len(eligible) > _N_LISTED:
        hint += " ..."
    # what a kind takes decides what a pattern has to match
    layers = {"ia3": "a Linear or a convolution", "ssf": "a Linear, a convolution or a LayerNorm"}
    layer = layers.get(recipe.adapter_kind, "a Linear or an ungrouped convolution")
    return f"adapter_targets must match {layer} in {site}, got {asked}; {hint}"
