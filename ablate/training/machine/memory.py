"""The memory that one trial needs at its highest, in a worker that lives through many."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path

import torch


def reset_peak(device: str) -> None:
    """Forget the peak so far. On Linux the kernel keeps it a process; writing 5 to clear_refs resets it (proc(5))."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    with contextlib.suppress(
        OSError
    ):  # not Linux, or not allowed: peak_mb then tells the process's peak, an upper bound
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb(device: str) -> float:
    """Return the peak since `reset_peak` in MB (10**6 bytes): allocated memory on a GPU, resident memory of the process on a CPU; nan where unknown."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    try:
        line = next(
            line
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
    except (OSError, StopIteration):
        return float("nan")
    return int(line.split()[1]) * 1024 / 1e6


def is_short(error: BaseException) -> bool:
    """Whether an error says that memory, the host's or a GPU's, did not suffice. On a CPU torch says so in the text of a RuntimeError."""
    return isinstance(
        error, MemoryError | torch.OutOfMemoryError
    ) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def halvings(batch_size: int) -> Iterator[int]:
    """Yield batch_size, its half rounded up, ... and 1."""
    while batch_size > 1:
        yield batch_size
        batch_size = (batch_size + 1) // 2
    yield 1


def free(device: str) -> None:
    """Give back what a trial that was broken off still holds."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
