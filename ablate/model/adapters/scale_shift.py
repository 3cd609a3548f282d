"""SSF: outputs scaled and shifted channel by channel (Lian et al. 2022, arXiv 2210.08823).

It takes Linear layers, convolutions and LayerNorms that the network really calls. A BatchNorm that
rests is a scale and a shift already, so the convolution before it is enough. The paper draws scale
and shift around 1 and 0; here they start there, so that the network's output is unchanged until
they learn.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from timm.layers import LayerNorm, LayerNorm2d
from torch import Tensor, nn

from ablate.model.adapters._base import (
    PLAIN,
    Adapters,
    AdapterSite,
    Wrapped,
    choose_targets,
    first_output,
    new_names,
    oversized,
    read_only,
    wrap,
)

_NORMS = (nn.LayerNorm, LayerNorm, LayerNorm2d)
"""Exact types, as in `_base.PLAIN`."""
_TYPES = (nn.Linear, nn.Conv2d, nn.LayerNorm)


class ScaleShift(Wrapped):
    """A layer, then `scale * y + shift` by channel."""

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        weight = cast(Tensor, base_layer.weight)
        # the first dimension of a weight is what comes out, of a LayerNorm's its channels
        self.scale = nn.Parameter(torch.ones(len(weight), device=weight.device))
        self.shift = nn.Parameter(torch.zeros(len(weight), device=weight.device))
        self.is_channels_first = isinstance(base_layer, nn.Conv2d | LayerNorm2d)

    def forward(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Inputs of the layer -> its output, (B, ..., C) or (B, C, H, W), scaled and shifted."""
        output = first_output(self.base_layer(inputs, *args, **kwargs))
        # channels stand before height and width, or at the end
        shape = (-1, 1, 1) if self.is_channels_first else (-1,)
        shifted = output * self.scale.view(shape) + self.shift.view(shape)
        # autocast computes in half precision, and the float32 scale would widen it again
        return shifted.to(output.dtype)

    def merged(self) -> nn.Module:
        """The layer with scale and shift in its weight and bias; one without a bias gets one."""
        layer = cast(Any, self.base_layer)
        with torch.no_grad():
            shift = self.shift
            if layer.bias is not None:
                # scale * (W x + bias) + shift: the old bias is scaled too
                shift = shift + self.scale * layer.bias
            # the first dimension of a weight is the output's channels
            layer.weight.mul_(self.scale.view(-1, *[1] * (layer.weight.ndim - 1)))
            layer.bias = nn.Parameter(shift.detach().clone())
        return cast(nn.Module, layer)


def add_scale_shift(module: nn.Module, site: AdapterSite) -> Adapters:
    """Put a scale and a shift behind modules of the site in place; see `_base.AddAdapters`."""
    why_not = partial(_why_not, called=site.called)
    targets, skipped = choose_targets(module, site, types=_TYPES, why_not=why_not)
    wrapped = {}
    for name in targets:
        wrapped[name] = wrap(module, name, ScaleShift)
    names = new_names(wrapped)
    return Adapters(
        parameter_names=names,
        targets=targets,
        skipped=skipped,
        oversized=oversized(module, targets, names),
    )


def _why_not(name: str, module: nn.Module, *, called: frozenset[str]) -> str:
    if isinstance(module, nn.LayerNorm):
        if type(module) not in _NORMS or module.weight is None:
            return f"{type(module).__name__} does more than normalise, or has no weight"
    elif type(module) not in PLAIN:
        return f"{type(module).__name__} rewrites its weight"
    return read_only(name, called)
