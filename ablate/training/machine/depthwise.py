"""Depthwise convolutions whose backward takes a detour: on some CPUs the bf16 kernels for it are many times slower, though the forward ones are faster.

Measured on an AVX512-BF16 server core (oneDNN under torch 2.14, one thread, batch 16, channels_last), and what is done about it:

- The input gradient at a stride of 2 goes in fp32: 96 channels at 112x112, 3x3: 160 ms in bf16 against 11. At stride 1 bf16 is faster and stays.
- The weight gradient of a kernel larger than 3x3 is put together from 3x3 tiles of it, each the weight gradient of a 3x3 convolution of a shifted input, in
  bf16: 1152 channels at 7x7, 5x5: 42 ms in bf16, 15 in fp32, 2.3 in tiles; 672 channels at 14x14, 5x5: 63, 27 and 12.5. The arithmetic is that of bf16
  autocast: sums in fp32, the result rounded to bf16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn

TILE = 3


class _Geometry(NamedTuple):
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


class _DepthwiseConv(torch.autograd.Function):
    """conv2d of bf16 inputs with one filter a channel; gradients by the detours described above."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.geometry = geometry
        return F.conv2d(images, weight.to(images.dtype), None, *geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        images, weight = ctx.saved_tensors
        geometry: _Geometry = ctx.geometry
        needs_images, needs_weight = ctx.needs_input_grad[:2]
        grad_images = grad_weight = None
        if needs_weight:
            grad_weight = _weight_gradient(gradient, images, weight, geometry)
        if needs_images:
            dtype = torch.float32 if max(geometry.stride) > 1 else images.dtype
            found, _ = _convolution_backward(
                gradient.to(dtype), images.to(dtype), weight.to(dtype), geometry, wants=0
            )
            grad_images = found.to(images.dtype)
        return grad_images, grad_weight, None


def _weight_gradient(
    gradient: Tensor, images: Tensor, weight: Tensor, geometry: _Geometry
) -> Tensor:
    """The gradient of a (C, 1, kh, kw) weight, float32: whole for a kernel of 3x3, in tiles for a larger one, in fp32 for any other."""
    height, width = weight.shape[2:]
    if min(height, width) < TILE or max(geometry.dilation) > 1:
        return _convolution_backward(gradient.float(), images.float(), weight, geometry, wants=1)[1]
    gradient, tile = gradient.to(images.dtype), weight[:, :, :TILE, :TILE].to(images.dtype)
    if (height, width) == (TILE, TILE):
        return _convolution_backward(gradient, images, tile, geometry, wants=1)[1].float()
    whole = torch.empty_like(weight)
    across, down = geometry.padding[1], geometry.padding[0]
    images, geometry = (
        F.pad(images, (across, across, down, down)),
        geometry._replace(padding=(0, 0)),
    )
    n_rows, n_columns = (
        (extent - 1) * step + TILE
        for extent, step in zip(gradient.shape[2:], geometry.stride, strict=True)
    )
    for top in _starts(height):
        for left in _starts(width):
            seen = images[:, :, top : top + n_rows, left : left + n_columns]
            whole[:, :, top : top + TILE, left : left + TILE] = _convolution_backward(
                gradient, seen, tile, geometry, wants=1
            )[1]
    return whole


def _pair(values: Sequence[int] | str) -> tuple[int, int]:
    first, second = map(int, values)
    return first, second


def _starts(extent: int) -> list[int]:
    """Where tiles begin that cover range(extent); the last ends with it and may overlap the one before."""
    return [*range(0, extent - TILE, TILE), extent - TILE]


def _convolution_backward(
    gradient: Tensor, images: Tensor, weight: Tensor, geometry: _Geometry, *, wants: int
) -> tuple[Tensor, Tensor]:
    """(input gradient, weight gradient), of which only number `wants` is computed."""
    stride, padding, dilation, groups = geometry
    mask = [wants == 0, wants == 1, False]
    found = torch.ops.aten.convolution_backward(
        gradient, images, weight, None, stride, padding, dilation, False, [0, 0], groups, mask
    )
    return cast(tuple[Tensor, Tensor], found[:2])


def detour_depthwise_backward(module: nn.Module) -> int:
    """Make every depthwise convolution of `module` without bias, under bf16 autocast, take its gradients as described above; return how many there are."""
    count = 0
    for child in module.modules():
        is_known = type(child) is nn.Conv2d or type(child) is Conv2dSame
        if is_known and _is_depthwise(cast(nn.Conv2d, child)):
            child.forward = _forward(cast(nn.Conv2d, child))
            count += 1
    return count


def _is_depthwise(conv: nn.Conv2d) -> bool:
    return (
        conv.groups == conv.in_channels > 1
        and conv.bias is None
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
    )


def _forward(conv: nn.Conv2d) -> Callable[[Tensor], Tensor]:
    plain = conv.forward

    def forward(images: Tensor) -> Tensor:
        if not (
            torch.is_grad_enabled()
            and torch.is_autocast_enabled("cpu")
            and torch.get_autocast_dtype("cpu") == torch.bfloat16
        ):
            return plain(images)
        padding = conv.padding
        if isinstance(conv, Conv2dSame):
            images, padding = (
                pad_same(images, list(conv.kernel_size), list(conv.stride), list(conv.dilation)),
                (0, 0),
            )
        return cast(
            Tensor,
            _DepthwiseConv.apply(
                images.bfloat16(),
                conv.weight,
                _Geometry(_pair(conv.stride), _pair(padding), _pair(conv.dilation), conv.groups),
            ),
        )

    return forward
