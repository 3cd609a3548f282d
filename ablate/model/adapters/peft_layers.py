"""LoRA, DoRA and IA3, as peft has them.

LoRA (Hu et al. 2022, arXiv 2106.09685) and DoRA (Liu et al. 2024, arXiv 2402.09353) take Linear
layers and ungrouped convolutions that the network really calls. Left out, with the reason: grouped
(depthwise) convolutions, whose low-rank form is no smaller (peft wants a rank that is a multiple of
the groups); convolutions that rewrite their weight on the way (weight standardisation); layers
whose weight the parent reads without calling them (BEiT's qkv).

IA3 (Liu et al. 2022, arXiv 2205.05638) scales activations by learned vectors: what comes out of a
layer, and what goes into the second layer of an MLP. It takes grouped convolutions too. By itself
it takes attention's projections to keys and values and the MLP's second layer, as the paper does (a
fused qkv has its queries scaled with them), and every layer where a network has neither.
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
    AdapterSite,
    choose_targets,
    generator_of,
    oversized,
    read_only,
)
from ablate.recipe.recipe import Recipe

SCALES = (".ia3_l.", ".lora_magnitude_vector.")
"""Parts of names of parameters that multiply: weight decay would pull them, and the activations
with them, to 0."""
# what is looked at; `_why_not` gives the reason for each of these that is left out
_TYPES = (nn.Linear, nn.Conv2d)
# timm's names for keys and values (qkv and kv are fused projections) and an MLP's second layer
_IA3_BY_ITSELF = ("*.qkv", "*.kv", "*.k", "*.v", "*.k_proj", "*.v_proj", "*.mlp.fc2")


def add_lora(module: nn.Module, site: AdapterSite) -> Adapters:
    """Put LoRA around modules of the site; the network's output is unchanged until it learns.

    Per module A (rank, in) is drawn and B (out, rank) starts at zero. See `_base.AddAdapters`.
    """
    why_not = partial(_why_not, called=site.called)
    targets, skipped = choose_targets(module, site, types=_TYPES, why_not=why_not)
    config = _lora_config(site.recipe, targets, use_dora=False)
    return _inject(module, site, config, targets=targets, skipped=skipped)


def add_dora(module: nn.Module, site: AdapterSite) -> Adapters:
    """Put DoRA around modules of the site: LoRA for the direction of each filter.

    The filter's length is learned by itself. The output is unchanged at first, but for rounding.
    Raises SpecError for a layer with a filter that is zero: it has no direction.
    """
    recipe = site.recipe
    why_not = partial(_why_not_dora, called=site.called, has_dropout=recipe.adapter_dropout > 0)
    targets, skipped = choose_targets(module, site, types=_TYPES, why_not=why_not)
    config = _lora_config(recipe, targets, use_dora=True)
    adapters = _inject(module, site, config, targets=targets, skipped=skipped)
    if site.seed is None:
        return adapters  # on the meta device lengths have no values
    dead = _layers_of_length_zero(module, adapters)
    if dead:
        raise SpecError(
            f"dora divides by the length of each filter, and some are zero in {', '.join(dead)} "
            f"of {recipe.backbone}; name others in adapter_targets"
        )
    return adapters


def add_ia3(module: nn.Module, site: AdapterSite) -> Adapters:
    """Put IA3 around modules of the site in place.

    Its scales start at 1, so the network's output is unchanged until they learn.
    """
    from peft import IA3Config

    targets, skipped = _choose_ia3_targets(module, site)
    # the paper scales what goes into the second layer of an MLP, not what comes out
    scaled_inputs = []
    for name in targets:
        if name.endswith(".fc2") and isinstance(module.get_submodule(name), nn.Linear):
            scaled_inputs.append(name)
    config = IA3Config(
        target_modules=_exactly(targets),
        # a pattern that matches nothing; None would leave peft's choice by architecture
        feedforward_modules=_exactly(scaled_inputs) or "(?!)",
    )
    return _inject(module, site, config, targets=targets, skipped=skipped)


def _choose_ia3_targets(
    module: nn.Module, site: AdapterSite
) -> tuple[tuple[str, ...], dict[str, str]]:
    """What the recipe names; for "auto" the paper's layers, or all layers if there are none."""
    choose = partial(
        choose_targets,
        module,
        types=_TYPES,
        why_not=partial(_why_not, called=site.called, takes_groups=True),
    )
    if site.recipe.adapter_targets == "auto":
        # as a recipe, so that the patterns are matched just as those of a user are
        as_published = site.recipe.model_copy(update={"adapter_targets": _IA3_BY_ITSELF})
        try:
            return choose(AdapterSite(as_published, site.units, site.called, site.seed))
        except SpecError:
            pass  # neither attention nor an MLP: a convolutional network
    return choose(site)


def _lora_config(recipe: Recipe, targets: Sequence[str], *, use_dora: bool) -> Any:
    from peft import LoraConfig  # type: ignore[attr-defined,unused-ignore]

    return LoraConfig(
        r=recipe.lora_rank,
        # peft declares an int, and takes any number: outputs are scaled by alpha / rank
        lora_alpha=cast(int, recipe.lora_alpha or recipe.lora_rank),
        lora_dropout=recipe.adapter_dropout,
        target_modules=_exactly(targets),
        # biases of the backbone stay frozen: training them is BitFit, another kind
        bias="none",
        use_dora=use_dora,
    )


def _exactly(names: Sequence[str]) -> str:
    """A pattern for peft; a list would also match by suffix: "conv1" is in every ResNet block."""
    return "|".join(map(re.escape, names))


def _inject(
    module: nn.Module,
    site: AdapterSite,
    config: Any,
    *,
    targets: tuple[str, ...],
    skipped: dict[str, str],
) -> Adapters:
    """Let peft adapt a module in place, and check that it did so at exactly the targets."""
    from peft import inject_adapter_in_model  # type: ignore[attr-defined,unused-ignore]

    # by identity: to wrap a layer renames the parameters that it had
    before = set(map(id, module.parameters()))
    # low_cpu_mem_usage makes new parameters on the meta device
    inject_adapter_in_model(config, module, low_cpu_mem_usage=site.seed is None)
    names = []
    for name, parameter in module.named_parameters():
        if id(parameter) not in before:
            names.append(name)
    # "blocks.0.attn.qkv.lora_A.default.weight" -> "blocks.0.attn.qkv"
    adapted = {re.split(r"\.(?:lora|ia3)_", name)[0] for name in names}
    # peft matches names by its own rules: a target too many would train unseen
    if adapted != set(targets):
        difference = sorted(adapted.symmetric_difference(targets))
        raise CheckFailed(f"adapters must sit on exactly the targets, they differ in: {difference}")
    if site.seed is not None:
        _draw(module, names, site.seed)
    return Adapters(
        parameter_names=tuple(names),
        targets=targets,
        skipped=skipped,
        oversized=oversized(module, targets, names),
    )


def _draw(module: nn.Module, names: Sequence[str], seed: int) -> None:
    """Draw A anew, B to zero; what scales keeps what peft gave it."""
    for name in names:
        parameter = module.get_parameter(name)
        if ".lora_A." in name:
            # peft's own distribution, from a generator that depends on the module's name alone
            nn.init.kaiming_uniform_(parameter, a=5**0.5, generator=generator_of(seed, name))
        elif ".lora_B." in name:
            # B = 0 makes the product 0, so the output is unchanged until B learns
            nn.init.zeros_(parameter)


def _layers_of_length_zero(module: nn.Module, adapters: Adapters) -> list[str]:
    """The targets of DoRA that have a filter whose length is 0."""
    dead = []
    for name in adapters.parameter_names:
        is_length = ".lora_magnitude_vector." in name
        if is_length and bool((module.get_parameter(name) == 0).any()):
            dead.append(name.partition(".lora_")[0])
    return dead


def _why_not(
    name: str, module: nn.Module, *, called: frozenset[str], takes_groups: bool = False
) -> str:
    # the cheapest reason first: its low-rank form would be no smaller than the kernel itself
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
