"""What this machine computes fastest: measured, never assumed, and decided once for a study."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from ablate.spec.request import Compute

WORTH_IT = 0.9
"""A lower precision or another memory layout is taken when it needs less than this share of the time."""


def choose_compute(home: Path, *, threads: int) -> Compute:
    """Return how a slot of this machine computes; measured once, then remembered in `home` so that a resumed study computes as before."""
    key = hashlib.sha256("\x1f".join([torch.__version__, _processor(), str(torch.cuda.is_available()), str(threads)]).encode()).hexdigest()[:12]
    path = home / f"compute-{key}.json"
    if path.is_file():
        return Compute.model_validate_json(path.read_text())
    compute = _cuda_compute(threads) if torch.cuda.is_available() else _cpu_compute(threads)
    home.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(compute.model_dump(mode="json")))
    temporary.replace(path)
    return compute


def _cuda_compute(threads: int) -> Compute:
    precision: Literal["bf16", "fp16"] = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return Compute(device="cuda", precision=precision, channels_last=True, threads=threads)


def _cpu_compute(threads: int) -> Compute:
    n_threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        plain = _seconds_a_step(is_bf16=False, memory_format=torch.contiguous_format)
        last = _seconds_a_step(is_bf16=False, memory_format=torch.channels_last)
        memory_format = torch.channels_last if last < WORTH_IT * plain else torch.contiguous_format
        half = _seconds_a_step(is_bf16=True, memory_format=memory_format)
        depthwise = [_seconds_a_depthwise_gradient(dtype) for dtype in (torch.bfloat16, torch.float32)]
    finally:
        torch.set_num_threads(n_threads_before)
    precision: Literal["bf16", "fp32"] = "bf16" if half < WORTH_IT * min(plain, last) else "fp32"
    is_depthwise_fp32 = precision == "bf16" and depthwise[1] < WORTH_IT * depthwise[0]
    return Compute(device="cpu", precision=precision, channels_last=memory_format == torch.channels_last, is_depthwise_fp32=is_depthwise_fp32, threads=threads)


def _seconds_a_step(*, is_bf16: bool, memory_format: torch.memory_format) -> float:
    """Median seconds of a training step of a few convolutions of the shapes that image networks have."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(32, 128, 1), nn.ReLU(), nn.Conv2d(128, 64, 3, stride=2, padding=1)]
        network = nn.Sequential(*layers).to(memory_format=memory_format)
        images = torch.randn(8, 3, 96, 96).contiguous(memory_format=memory_format)
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            loss = network(images).float().square().mean()
        loss.backward()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[2:])[2]


def _seconds_a_depthwise_gradient(dtype: torch.dtype) -> float:
    """Median seconds of the gradients of a strided depthwise convolution."""
    images = torch.ones(8, 96, 32, 32, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight, gradient = torch.ones(96, 1, 5, 5, dtype=dtype), torch.ones(8, 96, 16, 16, dtype=dtype)
    geometry = (None, [2, 2], [2, 2], [1, 1], False, [0, 0], 96, [True, True, False])
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        torch.ops.aten.convolution_backward(gradient, images, weight, *geometry)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[1:])[1]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return platform.processor()
