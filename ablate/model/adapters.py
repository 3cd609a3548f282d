"""Adapters: small trainable modules around modules of the frozen units. LoRA is the one there is.

The rule. Adapters go into the last `lora_units` frozen units, counted back from the freeze boundary; the free units learn by themselves. Eligible are Linear
layers and ungrouped convolutions that the network really calls. Left out, with the reason: grouped (depthwise) convolutions, whose low-rank form is no
smaller; convolutions that rewrite their weight on the way (weight standardisation); layers whose weight the parent reads without calling them (BEiT's qkv).

Another kind of adapter is another function with the signature of `add_lora`, which `network.build_network` chooses by the recipe.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import cast

import torch
from timm.layers import Conv2dSame
from torch import nn

from ablate.errors import CheckFailed, SpecError
from ablate.model.units import Unit
from ablate.spec.recipe import Recipe
from ablate.streams import stream

_PLAIN = (nn.Linear, nn.Conv2d, Conv2dSame)
"""Exact types: a subclass may compute something else from its weight."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """What was adapted."""

    parameter_names: tuple[str, ...]
    """The adapters' own parameters, all trainable."""
    targets: tuple[str, ...]
    """Modules that carry an adapter."""
    skipped: Mapping[str, str]
    """Module in the adapted units that carries none although its kind could -> why."""


NO_ADAPTERS = Adapters(parameter_names=(), targets=(), skipped={})


def adapted_units(recipe: Recipe, units: Sequence[Unit], depth: int) -> Sequence[Unit]:
    """Return the frozen units that carry adapters: the last `lora_units` of the first `depth`."""
    first = 0 if recipe.lora_units == "all" else max(0, depth - recipe.lora_units)
    return units[first:depth]


def choose_targets(module: nn.Module, recipe: Recipe, *, units: Sequence[Unit], run_order: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return (names of the modules to adapt, name -> why not for the others) among the modules of `units`.

    Raises SpecError where `lora_targets` matches nothing eligible, listing names that exist.
    """
    owners = dict.fromkeys(name.rpartition(".")[0] for name in chain.from_iterable(unit.parameter_names for unit in units))
    called = frozenset(run_order)
    verdicts = {name: _why_not(name, module.get_submodule(name), called) for name in owners if isinstance(module.get_submodule(name), nn.Linear | nn.Conv2d)}
    wanted = [name for name in verdicts if recipe.lora_targets == "auto" or any(fnmatch.fnmatchcase(name, pattern) for pattern in recipe.lora_targets)]
    targets = tuple(name for name in wanted if not verdicts[name])
    if not targets:
        eligible = [name for name, why in verdicts.items() if not why]
        raise SpecError(_nothing_matches(recipe, [unit.name for unit in units], eligible))
    return targets, {name: verdicts[name] for name in wanted if verdicts[name]}


def add_lora(module: nn.Module, recipe: Recipe, *, units: Sequence[Unit], run_order: Sequence[str], seed: int | None) -> Adapters:
    """Put LoRA adapters around modules of `units` in place; the network's output is unchanged until they learn.

    A (rank, in) is drawn per module from `seed`'s stream "adapter" (not drawn where `seed` is None, for a network on the meta device), B starts at zero.
    """
    from peft import LoraConfig, inject_adapter_in_model  # type: ignore[attr-defined,unused-ignore]

    targets, skipped = choose_targets(module, recipe, units=units, run_order=run_order)
    before = {id(parameter) for parameter in module.parameters()}
    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=cast(int, recipe.lora_alpha or recipe.lora_rank),
        lora_dropout=recipe.lora_dropout,
        target_modules="|".join(re.escape(name) for name in targets),  # a list would also match by suffix: "conv1" is in every ResNet block
        bias="none",
    )
    inject_adapter_in_model(config, module, low_cpu_mem_usage=seed is None)
    names = tuple(name for name, parameter in module.named_parameters() if id(parameter) not in before)
    adapted = {name.partition(".lora_")[0] for name in names}
    if adapted != set(targets):
        raise CheckFailed(f"LoRA must adapt exactly the targets, it differs in: {sorted(adapted.symmetric_difference(targets))}")
    if seed is not None:
        _draw(module, names, seed)
    return Adapters(parameter_names=names, targets=targets, skipped=skipped)


def _draw(module: nn.Module, names: Sequence[str], seed: int) -> None:
    for name in names:
        parameter = module.get_parameter(name)
        if ".lora_A." in name:
            generator = torch.Generator().manual_seed(stream(seed, "adapter", name))
            nn.init.kaiming_uniform_(parameter, a=5**0.5, generator=generator)
        else:
            nn.init.zeros_(parameter)


def _why_not(name: str, module: nn.Module, called: frozenset[str]) -> str:
    if isinstance(module, nn.Conv2d) and module.groups > 1:
        return "grouped convolution"
    if type(module) not in _PLAIN:
        return f"{type(module).__name__} rewrites its weight"
    if name not in called:
        return "its parent reads the weight without calling it"
    return ""


def _nothing_matches(recipe: Recipe, unit_names: Sequence[str], eligible: Sequence[str]) -> str:
    where = f"the frozen units {', '.join(unit_names)} of {recipe.backbone}"
    asked = "auto" if recipe.lora_targets == "auto" else list(recipe.lora_targets)
    hint = f"eligible there: {', '.join(eligible[:5])}{' ...' if len(eligible) > 5 else ''}" if eligible else "nothing there is eligible; adapt more units"
    return f"lora_targets must match a Linear or an ungrouped convolution in {where}, got {asked}; {hint}"
