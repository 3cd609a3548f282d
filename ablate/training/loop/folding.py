"""Evaluation with the BatchNorms of frozen units folded into the convolutions before them: one pass over memory less for each, and the same logits in fp32.

Folded weights are values beside the network, never in it: what trains, is stored and is exported stays as it was. In bf16 and fp16 the folded weights are
rounded otherwise than the network's own (EfficientNet-Lite0's logits move by 4 % of the largest in bf16), so there nothing is folded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ablate.model.network import Network
from ablate.study.trial_facts import FoldedNorms
from ablate.training.feeds.trained_part import Lanes

TOLERANCE = 1e-4
"""By how much of the largest logit folding may move any, on the images that it is checked with."""
N_CHECKED = 8
"""Val images on which it is checked."""
_AFTER = ("drop", "act")
"""What timm's BatchNorms do after normalising, in this order."""


@dataclass(frozen=True)
class Folded:
    """Evaluation through the convolutions that have their BatchNorm in them."""

    forward: Callable[[Tensor], Tensor]
    stand_ins: tuple[tuple[nn.Module, Callable[..., Any]], ...]
    """Module -> what is called in its place."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """As `forward`; the network is as before afterwards."""
        with self._standing_in():
            return self.forward(inputs)

    @contextmanager
    def _standing_in(self) -> Iterator[None]:
        try:
            for module, stand_in in self.stand_ins:
                module.forward = stand_in
            yield
        finally:
            for module, _ in self.stand_ins:
                vars(module).pop("forward", None)


def fold(network: Network, lanes: Lanes) -> Lanes:
    """Return the lanes with an evaluation that is folded, where that is exact enough: in fp32, and only if the logits of a few val images stay.

    Frozen weights must not change while the lanes are used; a phase that thaws units opens new lanes.
    """
    has_frozen = any(isinstance(module, _BatchNorm) for module in network.boundary.resting)
    is_passed = lanes.forward is network.module or bool(
        network.adapter_names
    )  # else the cut is behind everything that is frozen
    if lanes.compute.precision != "fp32" or not has_frozen or not is_passed:
        return lanes
    inputs = next(lanes.val.evaluate(batch_size=N_CHECKED))[0]
    network.module.eval()
    try:
        with torch.no_grad():
            stand_ins, n_folded = _stand_ins(network, lanes, inputs[:2])
            folded = Folded(lanes.forward, stand_ins)
            whole, parts = lanes.forward(inputs), folded(inputs)
    finally:
        network.train()
    moved = float((whole - parts).abs().max() / whole.abs().max().clamp(min=1e-12))
    if not n_folded or not moved <= TOLERANCE:
        return lanes
    return dataclasses.replace(
        lanes,
        score=folded,
        folded_norms=FoldedNorms(n=n_folded, moved=moved),
    )


def _stand_ins(
    network: Network, lanes: Lanes, inputs: Tensor
) -> tuple[tuple[tuple[nn.Module, Callable[..., Any]], ...], int]:
    """What stands in for each convolution and BatchNorm of a pair, and the number of pairs."""
    stand_ins: list[tuple[nn.Module, Callable[..., Any]]] = []
    pairs = _pairs(network, lanes.forward, inputs)
    for conv, norm in pairs:
        fused = fuse_conv_bn_eval(conv, norm)
        fused.to(
            memory_format=torch.channels_last
            if lanes.compute.channels_last
            else torch.preserve_format
        )
        stand_ins += [
            (conv, fused.forward),
            (
                norm,
                nn.Sequential(
                    *(getattr(norm, part) for part in _AFTER if hasattr(norm, part))
                ).forward,
            ),
        ]
    return tuple(stand_ins), len(pairs)


def _pairs(
    network: Network, forward: Callable[[Tensor], Tensor], inputs: Tensor
) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Frozen convolutions whose output goes into a frozen BatchNorm as it is, each called once."""
    frozen, resting = set(network.boundary.frozen_names), set(network.boundary.resting)
    convs: list[tuple[nn.Conv2d, Tensor]] = []  # the outputs are kept, so that no id is used twice
    norms: list[tuple[nn.BatchNorm2d, Tensor]] = []
    handles = []
    for name, child in network.module.named_modules():
        if (
            f"{name}.weight" not in frozen
            or child._forward_hooks
            or child._forward_pre_hooks
            or "forward" in vars(child)
        ):
            continue
        if isinstance(child, nn.Conv2d):
            handles.append(
                child.register_forward_hook(lambda conv, _, output: convs.append((conv, output)))
            )
        elif isinstance(child, nn.BatchNorm2d) and child in resting:
            handles.append(
                child.register_forward_pre_hook(lambda norm, given: norms.append((norm, given[0])))
            )
    try:
        forward(inputs)
    finally:
        for handle in handles:
            handle.remove()
    before = {id(output): conv for conv, output in convs}
    pairs = [(before[id(given)], norm) for norm, given in norms if id(given) in before]
    once = {
        id(module)
        for called in (convs, norms)
        for module, _ in called
        if sum(other is module for other, _ in called) == 1
    }
    return [(conv, norm) for conv, norm in pairs if id(conv) in once and id(norm) in once]
