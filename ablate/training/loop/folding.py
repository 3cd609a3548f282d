"""Evaluation with the BatchNorms of frozen units folded into the convolutions before them.

One pass over memory less for each, and the same logits in fp32. Folded weights are values beside
the network, never in it: what trains, is stored and is exported stays as it was. In bf16 and fp16
the folded weights are rounded otherwise than the network's own (EfficientNet-Lite0's logits move by
4 % of the largest in bf16), so there nothing is folded.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ablate.model.network import Network
from ablate.study.trial_facts import FoldedNorms
from ablate.training.feeds.trained_part import TrainedPart

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
    """Inputs (B, ...) -> logits (B, n_classes)."""
    substitutes: tuple[tuple[nn.Module, Callable[..., Any]], ...]
    """Module -> what is called in its place."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """As `forward`; the network is as before afterwards."""
        with self._substituted():
            return self.forward(inputs)

    @contextmanager
    def _substituted(self) -> Iterator[None]:
        try:
            for module, substitute in self.substitutes:
                # an instance's attribute hides the method of its class
                module.forward = substitute
            yield
        finally:
            for module, _ in self.substitutes:
                vars(module).pop("forward", None)


def fold(network: Network, trained_part: TrainedPart) -> TrainedPart:
    """Return the trained part with an evaluation that is folded, where that is exact enough.

    That is in fp32, and only if the logits of a few val images stay. Frozen weights must not change
    while it is used; a phase that thaws units opens a new one.
    """
    if not _can_pay(network, trained_part):
        return trained_part
    # Real images: on noise, activations and their rounding would be others.
    inputs = next(trained_part.val.evaluate(batch_size=N_CHECKED))[0]
    network.module.eval()
    try:
        with torch.no_grad():
            # Two images are enough to see what flows where.
            pairs = _find_pairs(network, trained_part.forward, inputs[:2])
            folded = Folded(trained_part.forward, _substitutes(pairs, trained_part))
            whole = trained_part.forward(inputs)
            parts = folded(inputs)
    finally:
        network.train()
    # Relative to the largest logit, as rounding is.
    moved = float((whole - parts).abs().max() / whole.abs().max().clamp(min=1e-12))
    # written so that NaN, too, leaves the network as it is
    if not pairs or not moved <= TOLERANCE:
        return trained_part
    return dataclasses.replace(
        trained_part,
        score=folded,
        folded_norms=FoldedNorms(n=len(pairs), moved=moved),
    )


def _can_pay(network: Network, trained_part: TrainedPart) -> bool:
    """Whether evaluation runs frozen BatchNorms, in a precision in which folding is exact."""
    has_frozen = any(isinstance(module, _BatchNorm) for module in network.boundary.resting)
    # else the split is behind everything that is frozen, and kept activations come from there
    runs_frozen = trained_part.forward is network.module or bool(network.adapter_names)
    return trained_part.compute.precision == "fp32" and has_frozen and runs_frozen


def _substitutes(
    pairs: Sequence[tuple[nn.Conv2d, nn.BatchNorm2d]], trained_part: TrainedPart
) -> tuple[tuple[nn.Module, Callable[..., Any]], ...]:
    """What is called in place of each convolution and each BatchNorm."""
    layout = torch.preserve_format
    if trained_part.compute.channels_last:
        layout = torch.channels_last
    substitutes: list[tuple[nn.Module, Callable[..., Any]]] = []
    for conv, norm in pairs:
        # a copy: the network's own layers stay as they are
        fused = fuse_conv_bn_eval(conv, norm)
        fused.to(memory_format=layout)
        after = []
        for name in _AFTER:
            if hasattr(norm, name):
                after.append(getattr(norm, name))
        substitutes.append((conv, fused.forward))
        # timm's BatchNorms activate, too, and an empty Sequential returns its input
        substitutes.append((norm, nn.Sequential(*after).forward))
    return tuple(substitutes)


@dataclass
class _Recorded:
    """What went through convolutions and BatchNorms in one forward pass.

    Tensors are kept, so that no id is used twice.
    """

    convs: list[tuple[nn.Conv2d, Tensor]] = field(default_factory=list)
    """Convolution and its output (B, C, H, W)."""
    norms: list[tuple[nn.BatchNorm2d, Tensor]] = field(default_factory=list)
    """BatchNorm and its input (B, C, H, W)."""

    def record_conv(self, conv: nn.Conv2d, _inputs: object, output: Tensor) -> None:
        self.convs.append((conv, output))

    def record_norm(self, norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        self.norms.append((norm, inputs[0]))


def _find_pairs(
    network: Network, forward: Callable[[Tensor], Tensor], inputs: Tensor
) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Frozen convolutions whose output goes into a frozen BatchNorm as it is, each called once."""
    recorded = _record(network, forward, inputs)
    n_calls = Counter(id(module) for module, _ in [*recorded.convs, *recorded.norms])
    conv_before = {}
    for convolution, output in recorded.convs:
        conv_before[id(output)] = convolution
    pairs = []
    for norm, given in recorded.norms:
        # The very tensor that a convolution gave: an addition or activation between makes another.
        conv = conv_before.get(id(given))
        # A layer that is called twice may be followed by a norm once only.
        if conv is not None and n_calls[id(conv)] == 1 and n_calls[id(norm)] == 1:
            pairs.append((conv, norm))
    return pairs


def _record(network: Network, forward: Callable[[Tensor], Tensor], inputs: Tensor) -> _Recorded:
    frozen = set(network.boundary.frozen_names)
    resting = set(network.boundary.resting)
    recorded = _Recorded()
    handles = []
    for name, child in network.module.named_modules():
        # A layer that trains changes under the fold; one with hooks does more than its forward.
        if f"{name}.weight" not in frozen or _is_hooked(child):
            continue
        if isinstance(child, nn.Conv2d):
            handles.append(child.register_forward_hook(recorded.record_conv))
        elif isinstance(child, nn.BatchNorm2d) and child in resting:
            handles.append(child.register_forward_pre_hook(recorded.record_norm))
    try:
        forward(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return recorded


def _is_hooked(module: nn.Module) -> bool:
    """Whether something else is done at a module's call, which a substitute would skip."""
    has_hooks = bool(module._forward_hooks or module._forward_pre_hooks)
    return has_hooks or "forward" in vars(module)
