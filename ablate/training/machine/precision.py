"""What this machine computes fastest: measured, never assumed, and decided once for a study."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from pydantic import ValidationError
from torch import nn

from ablate.study.request import Compute
from ablate.training.machine.measurements import (
    measurement_file,
    read_measurement,
    shortest,
    warn_of_damage,
    write_measurement,
)

WORTH_IT = 0.9
"""Another choice than the usual one (fp32, channels_last) is taken when it needs less than this
share of the time."""


def choose_compute(home: Path, *, threads: int) -> Compute:
    """Return how a slot of this machine computes.

    Measured once, then remembered in `home` so that a resumed study computes as before. Raises
    StoreError where it cannot be remembered.
    """
    path = measurement_file(home, "compute", threads)
    values = read_measurement(path)
    if values is not None:
        with contextlib.suppress(ValidationError):
            compute = Compute.model_validate(values, strict=True)
            # The file may have been copied from a machine with another GPU, or with none.
            if (compute.device, compute.threads) == (compute_device(), threads):
                return compute
    warn_of_damage(path)
    if compute_device() == "cuda":
        compute = _cuda_compute(threads)
    else:
        compute = _cpu_compute(threads)
    write_measurement(path, compute.model_dump(mode="json"))
    return compute


def compute_device() -> Literal["cpu", "cuda"]:
    """Where trials run on this machine."""
    if torch.cuda.is_available():
        return "cuda"
    return "cpu"


def training_step(*, is_bf16: bool, is_channels_last: bool) -> Callable[[], object]:
    """Return a training step of a few layers of the shapes that image networks have."""
    memory_format = torch.channels_last if is_channels_last else torch.contiguous_format
    # Measuring draws weights and images, and no trial may notice it.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _few_layers().to(memory_format=memory_format)
        images = torch.randn(8, 3, 96, 96).contiguous(memory_format=memory_format)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            loss = network(images).float().square().mean()
        # The gradients add up from step to step: their values are of no interest, only the time.
        loss.backward()

    return step


def _cuda_compute(threads: int) -> Compute:
    # GPUs before Ampere emulate bf16, more slowly than fp32
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return Compute(
        device="cuda",
        precision="bf16" if has_bf16 else "fp16",
        channels_last=True,
        threads=threads,
    )


def _cpu_compute(threads: int) -> Compute:
    # Threads belong to the process: whoever measures gets its own number back.
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        steps = {}
        for is_bf16 in (False, True):
            for is_last in (False, True):
                steps[is_bf16, is_last] = training_step(is_bf16=is_bf16, is_channels_last=is_last)
        seconds = shortest(steps)
        dtypes = (torch.bfloat16, torch.float32)
        gradients = shortest({dtype: _depthwise_gradient(dtype) for dtype in dtypes})
    finally:
        torch.set_num_threads(threads_before)
    fastest_bf16 = min(seconds[True, False], seconds[True, True])
    fastest_fp32 = min(seconds[False, False], seconds[False, True])
    # bf16 costs digits and contiguous is the less tested layout: each has to earn its place.
    takes_bf16 = fastest_bf16 < WORTH_IT * fastest_fp32
    takes_contiguous = seconds[takes_bf16, False] < WORTH_IT * seconds[takes_bf16, True]
    detour_pays = gradients[torch.float32] < WORTH_IT * gradients[torch.bfloat16]
    return Compute(
        device="cpu",
        precision="bf16" if takes_bf16 else "fp32",
        channels_last=not takes_contiguous,
        is_depthwise_fp32=takes_bf16 and detour_pays,
        threads=threads,
    )


def _few_layers() -> nn.Sequential:
    """Images (B, 3, H, W) -> (B, 32, H / 2, W / 2), as an inverted residual block does it."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 128, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Conv2d(128, 128, 3, padding=1, groups=128, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Conv2d(128, 32, 1),
    )


def _depthwise_gradient(dtype: torch.dtype) -> Callable[[], object]:
    """The gradients of a strided depthwise convolution; see `depthwise`."""
    images = torch.ones(8, 96, 32, 32, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(96, 1, 5, 5, dtype=dtype)
    gradient = torch.ones(8, 96, 16, 16, dtype=dtype)
    # bias, stride, padding, dilation, transposed, output padding, groups, which gradients
    geometry = (None, [2, 2], [2, 2], [1, 1], False, [0, 0], 96, [True, True, False])
    return lambda: torch.ops.aten.convolution_backward(gradient, images, weight, *geometry)
