"""What a network costs once it is trained: multiply-adds and seconds per image, megabytes on disk.

Multiply-adds are counted, on torch's meta device, and the same on every machine. Seconds are this
machine's, with the device, precision and threads that the trial computed with, beside whatever else
the machine did; so they are taken once in a worker for each structure and stand among the times.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ablate.model.network import Network
from ablate.recipe.tiling import n_tiles_of
from ablate.study.request import Compute
from ablate.training.loop.step import autocast

BATCH = 32
"""Images at a time for throughput; fewer where the machine is so slow that `SECONDS` would not
do."""
SECONDS = 0.25
"""About what one measurement may take."""
# A single pass varies by tens of percent; the median of five does not.
_N_LATENCIES = 5


@dataclass(frozen=True, slots=True)
class InferenceCost:
    """Of one image through the whole network, adapters included, without decoding.

    Of an image that is cut into tiles, all of them, one after another.
    """

    macs: float
    """Multiply-adds of convolutions, matrix products and attention: half of what torch's counter
    calls flops. NaN where the network cannot run on "meta"."""
    latency_s: float
    """Median forward pass at batch 1."""
    images_per_s: float
    """At `batch` images a pass."""
    batch: int
    disk_mb: float
    """All tensors as they are exported, MB (10**6 bytes)."""

    @property
    def metrics(self) -> dict[str, float]:
        """By the names that runs are logged with."""
        return {
            "cost/macs": self.macs,
            "cost/disk_mb": self.disk_mb,
            "time/latency_ms": 1000 * self.latency_s,
            "time/images_per_s": self.images_per_s,
        }

    def of_tiles(self, n_tiles: int) -> InferenceCost:
        """That of an image which is `n_tiles` images to the network."""
        return replace(
            self,
            macs=self.macs * n_tiles,
            latency_s=self.latency_s * n_tiles,
            images_per_s=self.images_per_s / n_tiles,
        )


_KNOWN: dict[tuple[Any, ...], InferenceCost] = {}
"""Structure and compute -> its cost, for the life of a worker."""


def inference_cost(network: Network, compute: Compute) -> InferenceCost:
    """Return the cost of `network`, measured on its first trial in this process.

    Weights, modes and torch's generators are left as they were.
    """
    # Trials of one structure cost the same: arms would else differ by what the machine did
    # meanwhile.
    key = (_structure(network.module), network.preprocessing.image_size, compute)
    if key not in _KNOWN:
        _KNOWN[key] = _measure(network, compute)
    return _KNOWN[key].of_tiles(n_tiles_of(network.preprocessing.tiles))


def count_macs(module: nn.Module, *, image_size: int) -> float:
    """Return the multiply-adds of one image (1, 3, image_size, image_size), by shapes alone.

    Nothing is computed. NaN where the module cannot run on "meta".
    """
    shapes = {}
    for name, tensor in chain(module.named_parameters(), module.named_buffers()):
        shapes[name] = tensor.detach().to("meta")
    image = torch.empty(1, 3, image_size, image_size, device="meta")
    counter = FlopCounterMode(display=False)
    try:
        # the module keeps its own tensors: those on meta take their place for one call
        with torch.no_grad(), counter:
            torch.func.functional_call(module, shapes, (image,))
    except (RuntimeError, NotImplementedError, ValueError):
        return math.nan
    # torch counts a multiplication and an addition as two
    return counter.get_total_flops() / 2


def _measure(network: Network, compute: Compute) -> InferenceCost:
    module = network.module
    side = network.preprocessing.image_size
    with _in_eval_mode(module):
        macs = count_macs(module, image_size=side)
        # Not at a batch of one for throughput: a core is idle for part of such a pass.
        latency_s = _latency_s(module, side, compute)
        batch = max(1, min(BATCH, int(SECONDS / latency_s)))
        images = _images(batch, side, compute)
        # the first pass at a new batch size allocates
        pass_s = min(_seconds(module, images, compute), _seconds(module, images, compute))
        n_bytes = 0
        for tensor in module.state_dict().values():
            n_bytes += tensor.numel() * tensor.element_size()
    return InferenceCost(
        macs=macs,
        latency_s=latency_s,
        images_per_s=batch / pass_s,
        batch=batch,
        disk_mb=n_bytes / 1e6,
    )


@contextmanager
def _in_eval_mode(module: nn.Module) -> Iterator[None]:
    """Every module gets its own mode back: frozen parts rest while the whole trains."""
    modes = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, mode in modes:
            child.training = mode


def _latency_s(module: nn.Module, side: int, compute: Compute) -> float:
    """Median seconds of an image by itself; one pass where a pass is slow."""
    first_s = _seconds(module, _images(1, side, compute), compute)  # allocates, chooses kernels
    n_passes = 1
    if first_s < SECONDS:
        n_passes = _N_LATENCIES
    passes_s = []
    for _ in range(n_passes):
        passes_s.append(_seconds(module, _images(1, side, compute), compute))
    return statistics.median(passes_s)


def _images(n: int, side: int, compute: Compute) -> Tensor:
    """(n, 3, side, side) of zeros: what is in an image does not change what it costs."""
    images = torch.zeros(n, 3, side, side, device=compute.device)
    if compute.channels_last:
        return images.to(memory_format=torch.channels_last)
    return images


def _seconds(module: Callable[[Tensor], Tensor], images: Tensor, compute: Compute) -> float:
    started = time.perf_counter()
    with torch.inference_mode(), autocast(compute):
        module(images)
    if compute.device == "cuda":
        # the call returns before the GPU has finished
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _structure(module: nn.Module) -> tuple[Any, ...]:
    shapes = []
    for name, tensor in module.state_dict().items():
        shapes.append((name, tuple(tensor.shape)))
    return tuple(shapes)
