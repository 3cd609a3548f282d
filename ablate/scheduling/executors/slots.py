"""Slots of one machine: shares of its cores, or its GPUs. What a slot is stands in its environment, before its worker imports anything."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.scheduling.executors._base import Slot

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

_MALLOC = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(8 * 2**30))
"""glibc gives large blocks back to the kernel at once and asks for them again in every batch: each time the pages must be cleared. Keeping them took full
fine-tuning of EfficientNet-Lite0 at 224 from 28 to 35 images/s on one core (measured). Other C libraries ignore the variables."""


def cpu_slots(n_slots: int, *, threads: int) -> tuple[Slot, ...]:
    """Return slots "cpu:0", ... of `threads` CPU threads each; they see no GPU."""
    return tuple(Slot(f"cpu:{index}", {**_threads(threads), "CUDA_VISIBLE_DEVICES": ""}) for index in range(n_slots))


def gpu_slots(devices: Sequence[str], *, threads: int) -> tuple[Slot, ...]:
    """Return one slot a device, "gpu:<device>". Devices are named as in CUDA_VISIBLE_DEVICES: "0", "1", or their UUIDs."""
    return tuple(Slot(f"gpu:{device}", {**_threads(threads), "CUDA_VISIBLE_DEVICES": device}) for device in devices)


def _threads(threads: int) -> dict[str, str]:
    return {**dict.fromkeys(_THREAD_VARIABLES, str(threads)), **_MALLOC}
