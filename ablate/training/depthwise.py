"""Depthwise convolutions whose backward goes in fp32: on some CPUs the bf16 kernels for it are many times slower, though the forward ones are faster.

Measured on an AVX512-BF16 server core (oneDNN under torch 2.14, one thread, batch 32): input gradient of 144 channels at 32x32, 5x5, stride 2: 93 ms in bf16
against 2.5 ms in fp32; weight gradient of 672 channels at 8x8, 5x5: 64 ms against 18 ms. The input gradient at stride 1 is faster in bf16 and stays there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn


class _DepthwiseConv(torch.autograd.Function):
    """conv2d of bf16 inputs with one filter a channel; gradients through fp32 kernels where those are faster."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int], groups: int) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.geometry = (stride, padding, dilation, groups)
        return F.conv2d(images, weight.to(images.dtype), None, stride, padding, dilation, groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        images, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.geometry
        needs_images, needs_weight = ctx.needs_input_grad[:2]
        is_strided = max(stride) > 1

        def backward(dtype: torch.dtype, *, wants_images: bool, wants_weight: bool) -> tuple[Tensor | None, Tensor | None]:
            mask = [wants_images, wants_weight, False]
            tensors = (gradient.to(dtype), images.to(dtype), weight.to(dtype))
            return cast(
                tuple[Tensor | None, Tensor | None],
                torch.ops.aten.convolution_backward(*tensors, None, stride, padding, dilation, False, [0, 0], groups, mask)[:2],
            )

        grad_images, grad_weight = backward(torch.float32, wants_images=needs_images and is_strided, wants_weight=needs_weight)
        if needs_images and not is_strided:
            grad_images, _ = backward(images.dtype, wants_images=True, wants_weight=False)
        return None if grad_images is None else grad_images.to(images.dtype), grad_weight, None, None, None, None


def use_fp32_depthwise_backward(module: nn.Module) -> int:
    """Make every depthwise convolution of `module` without bias, under bf16 autocast, take its gradients as described above; return how many there are."""
    count = 0
    for child in module.modules():
        is_known = type(child) is nn.Conv2d or type(child) is Conv2dSame
        if is_known and _is_depthwise(cast(nn.Conv2d, child)):
            child.forward = _forward(cast(nn.Conv2d, child))
            count += 1
    return count


def _is_depthwise(conv: nn.Conv2d) -> bool:
    return conv.groups == conv.in_channels > 1 and conv.bias is None and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


def _forward(conv: nn.Conv2d) -> Callable[[Tensor], Tensor]:
    plain = conv.forward

    def forward(images: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16):
            return plain(images)
        padding = conv.padding
        if isinstance(conv, Conv2dSame):
            images, padding = pad_same(images, list(conv.kernel_size), list(conv.stride), list(conv.dilation)), (0, 0)
        return cast(Tensor, _DepthwiseConv.apply(images.bfloat16(), conv.weight, conv.stride, padding, conv.dilation, conv.groups))

    return forward
