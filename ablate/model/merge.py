"""Adapters folded into the weights that they adapt.

The same function with the backbone's own tensors, and none of the adapters' cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from ablate.model.adapters._base import replace_child
from ablate.model.adapters.scale_shift import ScaleShift
from ablate.model.network import Network
from ablate.recipe.recipe import AdapterKind

TOLERANCE = 1e-5
"""Largest difference of logits in fp32, relative to the largest logit (at least 1), that counts as
the same network."""
NOT_MERGEABLE: Mapping[AdapterKind, str] = {
    "bottleneck": "a bottleneck has an activation of its own, no weight can hold it",
    "adaptformer": "a bottleneck has an activation of its own, no weight can hold it",
    "vpt": "prompts are inputs, no weight can hold them",
}
"""Kind of adapter -> why it stays beside the backbone. The others merge; bitfit and norm_tuning are
the backbone's own tensors from the start."""


def merge_adapters(network: Network, images: Tensor) -> float:
    """Fold the adapters into the base in place; return the largest difference of logits, in fp32.

    `images` (B, 3, S, S) are normalised, on the network's device. The network is left in eval mode,
    without adapters; its names of parameters are out of date. Call it only for a kind that is not
    in `NOT_MERGEABLE`.
    """
    # eval: an adapter's dropout would tell the two passes apart
    module = network.module.eval()
    with torch.no_grad():
        before = module(images)
        # by name, since each merge replaces a module
        for name in network.targets:
            replace_child(module, name, _merged(module.get_submodule(name)))
        return float((module(images) - before).abs().max())


def is_same(difference: float, logits: Tensor) -> bool:
    """Whether logits (B, n_classes) that differ by `difference` at most do so by rounding alone."""
    return difference <= TOLERANCE * max(1.0, float(logits.abs().max()))


def admit_biases(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give layers without a bias one where a merged `state` has it.

    SSF's shift has nowhere else to go.
    """
    modules = dict(module.named_modules())
    for name, tensor in state.items():
        owner_name, _, leaf = name.rpartition(".")
        owner = modules.get(owner_name)
        # a layer with bias=False has the attribute and it is None; others lack it altogether
        if leaf == "bias" and owner is not None and getattr(owner, "bias", tensor) is None:
            cast(Any, owner).bias = nn.Parameter(tensor.detach().clone())


def _merged(layer: nn.Module) -> nn.Module:
    if isinstance(layer, ScaleShift):
        return layer.merged()
    if not hasattr(layer, "get_base_layer"):
        return layer  # bitfit, norm_tuning: nothing is around it
    adapted = cast(Any, layer)  # peft's LoRA, DoRA or IA3 layer
    # safe: peft refuses a merge that gives values that are not finite
    adapted.merge(safe_merge=True)
    return cast(nn.Module, adapted.get_base_layer())
