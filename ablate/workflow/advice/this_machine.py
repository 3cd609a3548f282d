"""Facts of the computer that asks. torch is imported only where there is a GPU to ask about."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from ablate.advice.facts import MachineFacts

_CPU_FLAGS = ("avx512_bf16", "amx_bf16")
_GPU_DEVICE = Path("/dev/nvidia0")


def this_machine(
    *, gpu_gb: float | None = None, minutes: float | None = None, has_hub: bool = False
) -> MachineFacts:
    """Cores and GPU as they are here; `gpu_gb` is that of another computer's GPU."""
    if gpu_gb is None:
        gpu_gb = _own_gpu_gb()
    weights: Literal["bundled", "network"] = "bundled"
    if has_hub:
        weights = "network"
    return MachineFacts(
        cores=_n_cores(),
        has_bf16=_has_bf16(),
        gpu_gb=gpu_gb,
        minutes=minutes,
        weights=weights,
    )


def _n_cores() -> int:
    """Cores that this process may use, which in a container are fewer than there are."""
    # macOS and Windows do not have it.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _has_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False  # not Linux: fp32 is what every CPU has
    return any(flag in flags for flag in _CPU_FLAGS)


def _own_gpu_gb() -> float | None:
    if not _GPU_DEVICE.exists():
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    return float(torch.cuda.get_device_properties(0).total_memory) / 1e9
