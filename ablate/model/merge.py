"""Adapters folded into the weights that they adapt: the same function with the backbone's own tensors, and none of the adapters' cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from ablate.model.adapters.scale_shift import ScaleShift
from ablate.model.network import Network
from ablate.recipe.recipe import AdapterKind

TOLERANCE = 1e-5
"""Largest difference of logits in fp32, relative to the largest logit (at least 1), that counts as the same network."""
NOT_MERGEABLE: Mapping[AdapterKind, str] = {
    "bottleneck": "a bottleneck has an activation of its own, no weight can hold it",
    "adaptformer": "a bottleneck has an activation of its own, no weight can hold it",
    "vpt": "prompts are inputs, no weight can hold them",
}
"""Kind of adapter -> why it stays beside the backbone. The others merge; bitfit and norm_tuning are the backbone's own tensors from the start."""


def merge_adapters(network: Network, images: Tensor) -> float:
    """Fold the adapters into the base in place; return the largest difference of logits on normalised `images` (B, 3, S, S), on the network's device, in fp32.

    The network is left in eval mode, without adapters; its names of parameters are out of date. Call it only for a kind that is not in `NOT_MERGEABLE`.
    """
    module = network.module.eval()
    with torch.no_grad():
        before = module(images)
        for name in network.targets:
            _put(module, name, _merged(module.get_submodule(name)))
        return float((module(images) - before).abs().max())


def is_same(difference: float, logits: Tensor) -> bool:
    """Whether a network that differs by `difference` from one that gives `logits` is the same but for rounding."""
    return difference <= TOLERANCE * max(1.0, float(logits.abs().max()))


def admit_biases(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give layers without a bias one where a merged `state` has it (SSF's shift has nowhere else to go)."""
    for name, tensor in state.items():
        owner_name, _, own = name.rpartition(".")
        owner = dict(module.named_modules()).get(owner_name)
        if own == "bias" and owner is not None and getattr(owner, "bias", tensor) is None:
            cast(Any, owner).bias = nn.Parameter(tensor.detach().clone())


def _merged(layer: nn.Module) -> nn.Module:
    if isinstance(layer, ScaleShift):
        return layer.merged()
    if not hasattr(layer, "get_base_layer"):
        return layer  # bitfit, norm_tuning: nothing is around it
    adapted = cast(Any, layer)  # peft's LoRA, DoRA or IA3 layer
    adapted.merge(safe_merge=True)
    return cast(nn.Module, adapted.get_base_layer())


def _put(module: nn.Module, name: str, child: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(parent), leaf, child)
