"""What this machine computes fastest: measured, never assumed, and decided once for a study."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from pydantic import ValidationError
from torch import nn

from ablate.errors import StoreError
from ablate.files import write_text
from ablate.study.request import Compute

WORTH_IT = 0.9
"""Another choice than the usual one (fp32, channels_last) is taken when it needs less than this share of the time."""
ROUNDS = 9
Key = TypeVar("Key")
_LOG = logging.getLogger(__name__)


def choose_compute(home: Path, *, threads: int) -> Compute:
    """Return how a slot of this machine computes; measured once, then remembered in `home` so that a resumed study computes as before.

    Raises StoreError where it cannot be remembered.
    """
    path = remembered_at(home, "compute", threads)
    values = remembered(path)
    if values is not None:
        with contextlib.suppress(ValidationError):
            compute = Compute.model_validate(values, strict=True)
            if (compute.device, compute.threads) == (compute_device(), threads):
                return compute
    warn_of_damage(path)
    compute = _cuda_compute(threads) if compute_device() == "cuda" else _cpu_compute(threads)
    remember(path, compute.model_dump(mode="json"))
    return compute


def remembered_at(home: Path, what: str, *details: object) -> Path:
    """Where a measurement of this machine is kept; another processor, torch or detail is another file."""
    key = "\x1f".join(
        [torch.__version__, _processor(), str(torch.cuda.is_available()), *map(str, details)]
    )
    return home / f"{what}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.json"


def remembered(path: Path) -> dict[str, Any] | None:
    """What was measured on this machine before; None where nothing was, or the file is damaged."""
    try:
        values = json.loads(path.read_bytes().decode())
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def remember(path: Path, values: Mapping[str, Any]) -> None:
    """Keep a measurement: without it a study that goes on might compute in another way. Raises StoreError."""
    try:
        write_text(path, json.dumps(values))
    except OSError as error:
        raise StoreError(
            f"what was measured of this machine must be kept, {path} cannot be written: {error}; set ABLATE_HOME to another place."
        ) from error


def warn_of_damage(path: Path) -> None:
    """Say that a file, where there is one, could not be used."""
    if path.exists():
        _LOG.warning(
            "%s is damaged, so this machine is measured again; trials of a study that goes on may differ in their last digits",
            path,
        )


def compute_device() -> Literal["cpu", "cuda"]:
    """Where trials run on this machine."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _cuda_compute(threads: int) -> Compute:
    precision: Literal["bf16", "fp16"] = (
        "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    )
    return Compute(device="cuda", precision=precision, channels_last=True, threads=threads)


def _cpu_compute(threads: int) -> Compute:
    n_threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        steps = {
            (is_bf16, is_last): training_step(is_bf16=is_bf16, is_channels_last=is_last)
            for is_bf16 in (False, True)
            for is_last in (False, True)
        }
        seconds = shortest(steps)
        gradients = shortest(
            {dtype: _depthwise_gradient(dtype) for dtype in (torch.bfloat16, torch.float32)}
        )
    finally:
        torch.set_num_threads(n_threads_before)
    is_bf16 = min(seconds[True, last] for last in (False, True)) < WORTH_IT * min(
        seconds[False, last] for last in (False, True)
    )
    is_channels_last = not seconds[is_bf16, False] < WORTH_IT * seconds[is_bf16, True]
    is_depthwise_fp32 = is_bf16 and gradients[torch.float32] < WORTH_IT * gradients[torch.bfloat16]
    return Compute(
        device="cpu",
        precision="bf16" if is_bf16 else "fp32",
        channels_last=is_channels_last,
        is_depthwise_fp32=is_depthwise_fp32,
        threads=threads,
    )


def shortest(actions: Mapping[Key, Callable[[], object]]) -> dict[Key, float]:
    """Shortest seconds of each action over rounds that take them in turn: what else the machine does lengthens a time, nothing shortens it."""
    seconds = dict.fromkeys(actions, float("inf"))
    for _ in range(ROUNDS):
        for key, action in actions.items():
            start = time.perf_counter()
            action()
            seconds[key] = min(seconds[key], time.perf_counter() - start)
    return seconds


def training_step(*, is_bf16: bool, is_channels_last: bool) -> Callable[[], object]:
    """A training step of a few layers of the shapes that image networks have."""
    memory_format = torch.channels_last if is_channels_last else torch.contiguous_format
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        wide = [
            nn.Conv2d(32, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 128, 3, padding=1, groups=128, bias=False),
        ]
        layers = [
            nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            *wide,
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 32, 1),
        ]
        network = nn.Sequential(*layers).to(memory_format=memory_format)
        images = torch.randn(8, 3, 96, 96).contiguous(memory_format=memory_format)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            loss = network(images).float().square().mean()
        loss.backward()

    return step


def _depthwise_gradient(dtype: torch.dtype) -> Callable[[], object]:
    """The gradients of a strided depthwise convolution."""
    images = torch.ones(8, 96, 32, 32, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight, gradient = torch.ones(96, 1, 5, 5, dtype=dtype), torch.ones(8, 96, 16, 16, dtype=dtype)
    geometry = (None, [2, 2], [2, 2], [1, 1], False, [0, 0], 96, [True, True, False])
    return lambda: torch.ops.aten.convolution_backward(gradient, images, weight, *geometry)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip()
            for line in lines
            if line.startswith(("flags", "Features"))
        )
    except (OSError, StopIteration):
        return platform.processor()
