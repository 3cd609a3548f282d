"""The optimizer's partition: head, trunk and adapters, each with and without weight decay."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ablate.errors import CheckFailed
from ablate.model.adapters.peft_layers import SCALES
from ablate.spec.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from ablate.model.network import Network


def param_groups(network: Network, recipe: Recipe) -> list[dict[str, Any]]:
    """Return the groups for a torch optimizer: `params`, `lr` (peak), `weight_decay`, `name` ("head/decay", "trunk/no_decay", ...); none is empty.

    The head learns at `head_lr`, trunk and adapters at `head_lr * lr_ratio`. Parameters of one dimension (biases, norms) and the scales of IA3 and
    DoRA have no weight decay. Raises
    CheckFailed, naming strays, unless every trainable parameter is in exactly one group.
    """
    trunk_lr = recipe.head_lr * recipe.lr_ratio
    parts = {"head": recipe.head_lr, "trunk": trunk_lr, "adapters": trunk_lr}
    groups: dict[str, dict[str, Any]] = {
        f"{part}/{decay}": {"params": [], "lr": lr, "weight_decay": recipe.weight_decay if decay == "decay" else 0.0, "name": f"{part}/{decay}"}
        for part, lr in parts.items()
        for decay in ("decay", "no_decay")
    }
    for name, parameter in network.module.named_parameters():
        if parameter.requires_grad:
            is_scale = any(part in name for part in SCALES)
            decay = "decay" if parameter.ndim > 1 and not is_scale else "no_decay"
            groups[f"{_part_of(name, network)}/{decay}"]["params"].append(parameter)
    filled = [group for group in groups.values() if group["params"]]
    check_partition(network.module, filled)
    return filled


def check_partition(module: nn.Module, groups: list[dict[str, Any]]) -> None:
    """Raise CheckFailed, naming strays, unless every trainable parameter is in exactly one group and nothing else is in any."""
    counts = Counter(id(parameter) for group in groups for parameter in group["params"])
    astray = [name for name, parameter in module.named_parameters() if counts.pop(id(parameter), 0) != int(parameter.requires_grad)]
    if astray or counts:
        strays = astray or f"{len(counts)} parameters of another network"
        raise CheckFailed(f"every trainable parameter must be in exactly one group and no other in any, these are not: {strays}")


def _part_of(name: str, network: Network) -> str:
    if name in network.head_names:
        return "head"
    return "adapters" if name in network.adapter_names else "trunk"
