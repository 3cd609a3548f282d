"""LoRA, DoRA and IA3, as peft has them.

LoRA (Hu et al. 2022, arXiv 2106.09685) and DoRA (Liu et al. 2024, arXiv 2402.09353) take Linear layers and ungrouped convolutions that the network really
calls. Left out, with the reason: grouped (depthwise) convolutions, whose low-rank form is no smaller (peft wants a rank that is a multiple of the groups);
convolutions that rewrite their weight on the way (weight standardisation); layers whose weight the parent reads without calling them (BEiT's qkv).

IA3 (Liu et al. 2022, arXiv 2205.05638) scales activations by learned vectors: what comes out of a layer, and what goes into the second layer of an MLP. It
takes grouped convolutions too. By itself it takes attention's projections to keys and values and the MLP's second layer, as the paper does (a fused qkv has its
queries scaled with them), and every layer where a network has neither.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from timm.layers import Conv2dSame
from torch import nn

from ablate.errors import CheckFailed, SpecError
from ablate.model.adapters._base import (
    PLAIN,
    Adapters,
    choose_targets,
    generator_of,
    oversized,
    read_only,
)
from ablate.model.units import Unit
from ablate.recipe.recipe import Recipe

SCALES = (".ia3_l.", ".lora_magnitude_vector.")
"""Parts of names of parameters that multiply: weight decay would pull them, and the activations with them, to 0."""
_IA3_BY_ITSELF = ("*.qkv", "*.kv", "*.k", "*.v", "*.k_proj", "*.v_proj", "*.mlp.fc2")


def add_lora(
    module: nn.Module,
    recipe: Recipe,
    *,
    units: Sequence[Unit],
    run_order: Sequence[str],
    seed: int | None,
) -> Adapters:
    """Put LoRA around modules of `units` in place; the network's output is unchanged until it learns.

    A (rank, in) is drawn per module, B starts at zero. See `_base.AddAdapters`.
    """
    why_not = partial(_why_not, called=frozenset(run_order))
    targets, skipped = choose_targets(
        module, recipe, units=units, types=(nn.Linear, nn.Conv2d), why_not=why_not
    )
    return _inject(
        module,
        _lora_config(recipe, targets, use_dora=False),
        targets=targets,
        skipped=skipped,
        seed=seed,
    )


def add_dora(
    module: nn.Module,
    recipe: Recipe,
    *,
    units: Sequence[Unit],
    run_order: Sequence[str],
    seed: int | None,
) -> Adapters:
    """Put DoRA around modules of `units` in place: LoRA for the direction of each filter, and its length learned by itself.

    The output is unchanged at first, but for rounding. Raises SpecError for a layer with a filter that is zero: it has no direction.
    """
    why_not = partial(
        _why_not_dora, called=frozenset(run_order), has_dropout=recipe.adapter_dropout > 0
    )
    targets, skipped = choose_targets(
        module, recipe, units=units, types=(nn.Linear, nn.Conv2d), why_not=why_not
    )
    adapters = _inject(
        module,
        _lora_config(recipe, targets, use_dora=True),
        targets=targets,
        skipped=skipped,
        seed=seed,
    )
    lengths = {
        name: module.get_parameter(name)
        for name in adapters.parameter_names
        if ".lora_magnitude_vector." in name
    }
    dead = [
        name.partition(".lora_")[0]
        for name, length in lengths.items()
        if seed is not None and bool((length == 0).any())
    ]
    if dead:
        raise SpecError(
            f"dora divides by the length of each filter, and some are zero in {', '.join(dead)} of {recipe.backbone}; name others in adapter_targets"
        )
    return adapters


def add_ia3(
    module: nn.Module,
    recipe: Recipe,
    *,
    units: Sequence[Unit],
    run_order: Sequence[str],
    seed: int | None,
) -> Adapters:
    """Put IA3 around modules of `units` in place; its scales start at 1, so the network's output is unchanged until they learn."""
    from peft import IA3Config

    why_not = partial(_why_not, called=frozenset(run_order), takes_groups=True)
    choose = partial(
        choose_targets, module, units=units, types=(nn.Linear, nn.Conv2d), why_not=why_not
    )
    try:
        asked = (
            recipe.model_copy(update={"adapter_targets": _IA3_BY_ITSELF})
            if recipe.adapter_targets == "auto"
            else recipe
        )
        targets, skipped = choose(asked)
    except SpecError:
        targets, skipped = choose(recipe)
    into = [
        name
        for name in targets
        if name.endswith(".fc2") and isinstance(module.get_submodule(name), nn.Linear)
    ]
    config = IA3Config(
        target_modules=_exactly(targets), feedforward_modules=_exactly(into) if into else "(?!)"
    )
    return _inject(module, config, targets=targets, skipped=skipped, seed=seed)


def _lora_config(recipe: Recipe, targets: Sequence[str], *, use_dora: bool) -> Any:
    from peft import LoraConfig  # type: ignore[attr-defined,unused-ignore]

    return LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=cast(int, recipe.lora_alpha or recipe.lora_rank),
        lora_dropout=recipe.adapter_dropout,
        target_modules=_exactly(targets),
        bias="none",
        use_dora=use_dora,
    )


def _exactly(names: Sequence[str]) -> str:
    """A pattern for peft; a list would also match by suffix: "conv1" is in every ResNet block."""
    return "|".join(re.escape(name) for name in names)


def _inject(
    module: nn.Module,
    config: Any,
    *,
    targets: tuple[str, ...],
    skipped: dict[str, str],
    seed: int | None,
) -> Adapters:
    from peft import inject_adapter_in_model  # type: ignore[attr-defined,unused-ignore]

    before = {id(parameter) for parameter in module.parameters()}
    inject_adapter_in_model(config, module, low_cpu_mem_usage=seed is None)
    names = tuple(
        name for name, parameter in module.named_parameters() if id(parameter) not in before
    )
    adapted = {re.split(r"\.(?:lora|ia3)_", name)[0] for name in names}
    if adapted != set(targets):
        raise CheckFailed(
            f"adapters must sit on exactly the targets, they differ in: {sorted(adapted.symmetric_difference(targets))}"
        )
    if seed is not None:
        _draw(module, names, seed)
    return Adapters(
        parameter_names=names,
        targets=targets,
        skipped=skipped,
        oversized=oversized(module, targets, names),
    )


def _draw(module: nn.Module, names: Sequence[str], seed: int) -> None:
    """Draw A anew, B to zero; what scales keeps what peft gave it."""
    for name in names:
        parameter = module.get_parameter(name)
        if ".lora_A." in name:
            nn.init.kaiming_uniform_(parameter, a=5**0.5, generator=generator_of(seed, name))
        elif ".lora_B." in name:
            nn.init.zeros_(parameter)


def _why_not(
    name: str, module: nn.Module, *, called: frozenset[str], takes_groups: bool = False
) -> str:
    if isinstance(module, nn.Conv2d) and module.groups > 1 and not takes_groups:
        return "grouped convolution"
    if type(module) not in PLAIN:
        return f"{type(module).__name__} rewrites its weight"
    return read_only(name, called)


def _why_not_dora(
    name: str, module: nn.Module, *, called: frozenset[str], has_dropout: bool
) -> str:
    if has_dropout and type(module) is Conv2dSame:
        return "peft's DoRA with dropout forgets its padding"
    return _why_not(name, module, called=called)
