"""The optimizer of a phase, over the network's parameter groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ablate.model.network import Network
from ablate.model.param_groups import param_groups
from ablate.recipe.recipe import Recipe


def make_optimizer(
    network: Network, recipe: Recipe, *, beside: Sequence[dict[str, Any]] = ()
) -> torch.optim.Optimizer:
    """Return a fresh optimizer, without any state.

    `beside` are groups of what learns with the network and is no part of it; they come last.

    torch's AdamW, torch's SGD with Nesterov's momentum, or the one of that name from timm's
    factory.
    """
    # Each group brings its own LR and weight decay; lr below is only what torch asks for.
    groups = [*param_groups(network, recipe), *beside]
    # one kernel for all parameters, where every torch that is supported has it
    is_fused = next(network.module.parameters()).device.type in ("cpu", "cuda")
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.head_lr, fused=is_fused)
    if recipe.optimizer != "sgd":
        return _of_timm(groups, recipe)
    return torch.optim.SGD(
        groups,
        lr=recipe.head_lr,
        momentum=recipe.momentum,
        # torch refuses Nesterov's form without momentum
        nesterov=recipe.momentum > 0,
        fused=is_fused,
    )


def _of_timm(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    # Only here: it loads every optimizer of timm.
    from timm.optim import create_optimizer_v2

    optimizer: torch.optim.Optimizer = create_optimizer_v2(
        groups, opt=recipe.optimizer, lr=recipe.head_lr, momentum=recipe.momentum
    )
    return optimizer
