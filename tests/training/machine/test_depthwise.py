"""Depthwise gradients by detours: the same forward pass, gradients as good."""

from __future__ import annotations

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from ablate.training.machine.depthwise import detour_depthwise_backward


def _gradients(
    conv: nn.Conv2d, images: torch.Tensor, *, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    images = images.clone().requires_grad_()
    conv.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        output = conv(images)
    output.float().square().sum().backward()
    assert images.grad is not None
    assert conv.weight.grad is not None
    return output.detach().float(), images.grad, conv.weight.grad.clone()


@pytest.mark.parametrize("kind", [nn.Conv2d, Conv2dSame])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"),
    [(3, 1, 1), (5, 2, 1), (3, 2, 1), (3, 1, 2), (5, 1, 1), (7, 1, 1), (4, 2, 1), (1, 1, 1)],
)
def test_the_output_is_bit_equal_and_gradients_are_no_worse(
    kind: type[nn.Conv2d], kernel: int, stride: int, dilation: int
) -> None:
    torch.manual_seed(0)
    padding = 0 if kind is Conv2dSame else kernel // 2 * dilation
    conv = kind(
        16, 16, kernel, stride=stride, padding=padding, dilation=dilation, groups=16, bias=False
    )
    images = torch.randn(4, 16, 13, 13).contiguous(memory_format=torch.channels_last)
    exact = _gradients(conv, images, dtype=torch.float32)
    plain = _gradients(conv, images, dtype=torch.bfloat16)
    assert detour_depthwise_backward(conv) == 1
    mixed = _gradients(conv, images, dtype=torch.bfloat16)
    assert torch.equal(mixed[0], plain[0])
    for index in (1, 2):
        errors = [
            (own[index] - exact[index]).norm() / exact[index].norm() for own in (mixed, plain)
        ]
        assert errors[0] <= 1.05 * errors[1] + 1e-3
        assert errors[0] < 0.02


def test_a_kernel_that_is_not_square_is_tiled_too() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 8, (3, 8), stride=(2, 1), padding=(1, 2), groups=8, bias=False)
    images = torch.randn(3, 8, 11, 14)
    exact = _gradients(conv, images, dtype=torch.float32)
    detour_depthwise_backward(conv)
    mixed = _gradients(conv, images, dtype=torch.bfloat16)
    assert all(
        (mixed[index] - exact[index]).norm() < 0.02 * exact[index].norm() for index in (1, 2)
    )


def test_outside_bf16_autocast_nothing_changes() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
    images = torch.randn(2, 8, 9, 9)
    before = _gradients(conv, images, dtype=torch.float32)
    detour_depthwise_backward(conv)
    after = _gradients(conv, images, dtype=torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


def test_only_depthwise_convolutions_are_touched() -> None:
    layers = nn.Sequential(
        nn.Conv2d(8, 8, 3),
        nn.Conv2d(8, 8, 3, groups=2),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 16, 3, groups=8, bias=False),
    )
    assert detour_depthwise_backward(layers) == 1
    assert ["forward" in vars(layer) for layer in layers] == [False, False, False, True]
