"""The memory that one trial needs at its highest, in a worker that lives through many."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch


def reset_peak(device: str) -> None:
    """Forget the peak so far. On Linux the kernel keeps it a process; writing 5 to clear_refs resets it (proc(5))."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    with contextlib.suppress(OSError):  # not Linux, or not allowed: peak_mb then tells the process's peak, an upper bound
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb(device: str) -> float:
    """Return the peak since `reset_peak` in MB (10**6 bytes): allocated memory on a GPU, resident memory of the process on a CPU; nan where unknown."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    try:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return float("nan")
    return int(line.split()[1]) * 1024 / 1e6
