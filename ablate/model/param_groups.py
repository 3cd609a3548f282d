"""The optimizer's partition: head, trunk and adapters, each with and without weight decay; the trunk by units where earlier ones learn more slowly."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ablate.errors import CheckFailed
from ablate.model.adapters.peft_layers import SCALES
from ablate.recipe.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from ablate.model.network import Network

PARTS = ("head", "trunk", "adapters")


def param_groups(network: Network, recipe: Recipe) -> list[dict[str, Any]]:
    """Return the groups for a torch optimizer: `params`, `lr` (peak), `weight_decay`, `name` ("head/decay", "trunk/no_decay", ...); none is empty.

    The head learns at `head_lr`, adapters at `head_lr * lr_ratio`, unit i below the head (1 is the last one, frozen units count) at
    `head_lr * lr_ratio * layer_decay ** i`. The rate itself is in the group, so that any schedule scales it; timm's `lr_scale` is read by timm's own only.
    Parameters of one dimension (biases, norms) and the scales of IA3 and DoRA have no weight decay, nor has what L2-SP pulls. Raises CheckFailed, naming
    strays, unless every trainable parameter is in exactly one group.
    """
    unit_of = {name: i for i, unit in enumerate(network.units) for name in unit.parameter_names}
    groups: dict[tuple[int, int, bool], dict[str, Any]] = {}
    for name, parameter in network.module.named_parameters():
        if parameter.requires_grad:
            part = _part_of(name, network)
            below = (
                len(network.units) - unit_of[name]
                if part == "trunk" and recipe.layer_decay != 1.0
                else 0
            )
            is_flat = parameter.ndim <= 1 or any(scale in name for scale in SCALES)
            key = (PARTS.index(part), below, is_flat)
            groups.setdefault(
                key, _group(network, recipe, part=part, below=below, is_flat=is_flat)
            )["params"].append(parameter)
    filled = [groups[key] for key in sorted(groups)]
    check_partition(network.module, filled)
    return filled


def check_partition(module: nn.Module, groups: list[dict[str, Any]]) -> None:
    """Raise CheckFailed, naming strays, unless every trainable parameter is in exactly one group and nothing else is in any."""
    counts = Counter(id(parameter) for group in groups for parameter in group["params"])
    astray = [
        name
        for name, parameter in module.named_parameters()
        if counts.pop(id(parameter), 0) != int(parameter.requires_grad)
    ]
    if astray or counts:
        strays = astray or f"{len(counts)} parameters of another network"
        raise CheckFailed(
            f"every trainable parameter must be in exactly one group and no other in any, these are not: {strays}"
        )


def pulled_parameters(network: Network) -> list[nn.Parameter]:
    """Return what L2-SP holds near its start: the trunk's free weights of two or more dimensions, without head, adapters, biases and norms."""
    named = network.module.named_parameters()
    return [
        parameter
        for name, parameter in named
        if parameter.requires_grad and parameter.ndim > 1 and _part_of(name, network) == "trunk"
    ]


def _group(
    network: Network, recipe: Recipe, *, part: str, below: int, is_flat: bool
) -> dict[str, Any]:
    lr = (
        recipe.head_lr
        if part == "head"
        else recipe.head_lr * recipe.lr_ratio * recipe.layer_decay**below
    )
    is_decayed = not is_flat and not (part == "trunk" and recipe.l2_sp > 0)
    where = f"{part}.{network.units[-below].name}" if below else part
    return {
        "params": [],
        "lr": lr,
        "weight_decay": recipe.weight_decay if is_decayed else 0.0,
        "name": f"{where}/{'no_decay' if is_flat else 'decay'}",
    }


def _part_of(name: str, network: Network) -> str:
    if name in network.head_names:
        return "head"
    return "adapters" if name in network.adapter_names else "trunk"
