"""The memory that one trial needs at its highest, in a worker that lives through many."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path

import torch

_RESET_PEAK = "5"
"""What proc(5) wants written to clear_refs."""


def reset_peak(device: str) -> None:
    """Forget the peak so far. On Linux the kernel keeps it per process."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    # not Linux, or not allowed: peak_mb then returns the process's peak, an upper bound
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)


def peak_mb(device: str) -> float:
    """Return the peak since `reset_peak` in MB (10**6 bytes); nan where unknown.

    Allocated memory on a GPU, resident memory of the process on a CPU.
    """
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        peak_line = next(line for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return float("nan")
    # "VmHWM:   123456 kB", in units of 1024 bytes
    return int(peak_line.split()[1]) * 1024 / 1e6


def is_short(error: BaseException) -> bool:
    """Whether an error says that memory, the host's or a GPU's, did not suffice."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # on a CPU torch raises a plain RuntimeError
    return "DefaultCPUAllocator: can't allocate memory" in str(error)


def halvings(batch_size: int) -> Iterator[int]:
    """Yield batch_size, its half rounded up, ... and 1."""
    while batch_size > 1:
        yield batch_size
        batch_size = (batch_size + 1) // 2
    yield 1


def free(device: str) -> None:
    """Give back what a trial that was broken off still holds."""
    # An error's traceback holds frames, and those hold tensors, in circles that only gc finds.
    gc.collect()
    if device == "cuda":
        # Torch keeps freed blocks for itself: the next, smaller attempt needs them in other sizes.
        torch.cuda.empty_cache()
