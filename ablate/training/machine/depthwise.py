"""Depthwise convolutions whose backward takes a detour, on CPUs.

On some CPUs the bf16 kernels for it are many times slower, though the forward ones are faster.
Measured on an AVX512-BF16 server core (oneDNN under torch 2.14, one thread, batch 16,
channels_last), and what is done about it:

- The input gradient at a stride of 2 goes in fp32: 96 channels at 112x112, 3x3: 160 ms in bf16
  against 11. At stride 1 bf16 is faster and stays.
- The weight gradient of a kernel larger than 3x3 is put together from 3x3 tiles of it, each the
  weight gradient of a 3x3 convolution of a shifted input, in bf16: 1152 channels at 7x7, 5x5: 42 ms
  in bf16, 15 in fp32, 2.3 in tiles; 672 channels at 14x14, 5x5: 63, 27 and 12.5. The arithmetic is
  that of bf16 autocast: sums in fp32, the result rounded to bf16.
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
"""Side of the kernels for which bf16 is fast."""


class _Geometry(NamedTuple):
    """In the order of `conv2d`'s arguments."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


class _DepthwiseConv(torch.autograd.Function):
    """conv2d of bf16 inputs with one filter per channel; gradients by the detours above."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
        """Images (B, C, H, W) bf16 and weight (C, 1, kh, kw) float32 -> (B, C, H', W') bf16."""
        # The float32 weight is kept and not its bf16 copy: the gradients round it again, as
        # autocast does.
        ctx.save_for_backward(images, weight)
        ctx.geometry = geometry
        return F.conv2d(images, weight.to(images.dtype), None, *geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of the output (B, C, H', W') -> those of images, weight and (none) geometry."""
        (gradient,) = gradients
        images, weight = ctx.saved_tensors
        geometry: _Geometry = ctx.geometry
        needs_images, needs_weight = ctx.needs_input_grad[:2]
        grad_images = None
        grad_weight = None
        if needs_weight:
            grad_weight = _weight_gradient(gradient, images, weight, geometry)
        if needs_images:
            grad_images = _input_gradient(gradient, images, weight, geometry)
        return grad_images, grad_weight, None


def detour_depthwise_backward(module: nn.Module) -> int:
    """Make every depthwise convolution of `module` take the detours, under bf16 autocast.

    Those without bias; returns how many there are.
    """
    count = 0
    for child in module.modules():
        # exact types: a subclass may compute something else
        is_known = type(child) is nn.Conv2d or type(child) is Conv2dSame
        if is_known and _is_depthwise(cast(nn.Conv2d, child)):
            child.forward = _detoured_forward(cast(nn.Conv2d, child))
            count += 1
    return count


def _input_gradient(
    gradient: Tensor, images: Tensor, weight: Tensor, geometry: _Geometry
) -> Tensor:
    """The gradient of images (B, C, H, W), in their type."""
    dtype = images.dtype
    if max(geometry.stride) > 1:
        dtype = torch.float32
    grad_images, _ = _convolution_backward(
        gradient.to(dtype), images.to(dtype), weight.to(dtype), geometry, wants=0
    )
    return grad_images.to(images.dtype)


def _weight_gradient(
    gradient: Tensor, images: Tensor, weight: Tensor, geometry: _Geometry
) -> Tensor:
    """The gradient of a (C, 1, kh, kw) weight, float32.

    Whole for a kernel of 3x3, in tiles for a larger one, in fp32 for any other.
    """
    height, width = weight.shape[2:]
    # A side below a tile holds none, and tiles of a dilated kernel do not lie side by side.
    if min(height, width) < TILE or max(geometry.dilation) > 1:
        _, grad_weight = _convolution_backward(
            gradient.float(), images.float(), weight, geometry, wants=1
        )
        return grad_weight
    gradient = gradient.to(images.dtype)
    # the values do not matter, only the shape: the gradient is linear in the weight
    tile = weight[:, :, :TILE, :TILE].to(images.dtype)
    if (height, width) == (TILE, TILE):
        _, grad_weight = _convolution_backward(gradient, images, tile, geometry, wants=1)
        return grad_weight.float()
    return _tiled_weight_gradient(gradient, images, weight, tile, geometry)


def _tiled_weight_gradient(
    gradient: Tensor, images: Tensor, weight: Tensor, tile: Tensor, geometry: _Geometry
) -> Tensor:
    """The gradient of a kernel larger than a tile, tile by tile."""
    whole = torch.empty_like(weight)
    height, width = weight.shape[2:]
    pad_rows, pad_columns = geometry.padding
    # Padded once, so that every tile is a shift of the same images.
    images = F.pad(images, (pad_columns, pad_columns, pad_rows, pad_rows))
    unpadded = geometry._replace(padding=(0, 0))
    # what a 3x3 kernel must see to give an output of the gradient's size
    n_rows = (gradient.shape[2] - 1) * geometry.stride[0] + TILE
    n_columns = (gradient.shape[3] - 1) * geometry.stride[1] + TILE
    for top in _tile_starts(height):
        for left in _tile_starts(width):
            seen = images[:, :, top : top + n_rows, left : left + n_columns]
            _, part = _convolution_backward(gradient, seen, tile, unpadded, wants=1)
            # Where tiles overlap they hold the same values: each is the gradient of those weights
            # alone.
            whole[:, :, top : top + TILE, left : left + TILE] = part
    return whole


def _tile_starts(extent: int) -> list[int]:
    """Where tiles begin that cover range(extent); the last may overlap the one before."""
    return [*range(0, extent - TILE, TILE), extent - TILE]


def _convolution_backward(
    gradient: Tensor, images: Tensor, weight: Tensor, geometry: _Geometry, *, wants: int
) -> tuple[Tensor, Tensor]:
    """(input gradient, weight gradient), of which only number `wants` is computed."""
    stride, padding, dilation, groups = geometry
    mask = [wants == 0, wants == 1, False]
    is_transposed = False
    output_padding = [0, 0]
    gradients = torch.ops.aten.convolution_backward(
        gradient,
        images,
        weight,
        None,
        stride,
        padding,
        dilation,
        is_transposed,
        output_padding,
        groups,
        mask,
    )
    return cast(tuple[Tensor, Tensor], gradients[:2])


def _is_depthwise(conv: nn.Conv2d) -> bool:
    # Only what `_DepthwiseConv` computes; anything else keeps torch's own backward.
    return (
        conv.groups == conv.in_channels > 1
        and conv.bias is None
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
    )


def _detoured_forward(conv: nn.Conv2d) -> Callable[[Tensor], Tensor]:
    plain = conv.forward

    def forward(images: Tensor) -> Tensor:
        # Forward alone, fp32 and GPUs have no use for the detour.
        if not _is_training_in_bf16():
            return plain(images)
        padding = conv.padding
        if isinstance(conv, Conv2dSame):
            # TensorFlow's padding depends on the size of the images, and can be uneven
            images = pad_same(
                images, list(conv.kernel_size), list(conv.stride), list(conv.dilation)
            )
            padding = (0, 0)
        geometry = _Geometry(_pair(conv.stride), _pair(padding), _pair(conv.dilation), conv.groups)
        return cast(Tensor, _DepthwiseConv.apply(images.bfloat16(), conv.weight, geometry))

    return forward


def _is_training_in_bf16() -> bool:
    """Whether gradients are recorded and the CPU's autocast computes in bf16."""
    return (
        torch.is_grad_enabled()
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )


def _pair(values: Sequence[int] | str) -> tuple[int, int]:
    first, second = map(int, values)
    return first, second
