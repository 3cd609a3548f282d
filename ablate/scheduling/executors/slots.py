"""Slots of one machine: shares of its cores, or its GPUs.

What a slot is stands in its environment, before its worker imports anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from ablate.errors import CheckFailed
from ablate.scheduling.executors._base import Slot

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

# glibc gives large blocks back to the kernel at once and asks for them again in every batch: each
# time the pages must be cleared. Keeping them took full fine-tuning of EfficientNet-Lite0 at 224
# from 28 to 35 images/s on one core (measured). Other C libraries ignore the variables.
_MALLOC = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(8 * 2**30))


def cpu_slots(n_slots: int, *, threads: int) -> tuple[Slot, ...]:
    """Return slots "cpu:0", ... of `threads` CPU threads each; they see no GPU."""
    return tuple(Slot(f"cpu:{index}", cpu_environment(threads)) for index in range(n_slots))


def gpu_slots(devices: Sequence[str], *, threads: int, trials_per_gpu: int = 1) -> tuple[Slot, ...]:
    """Return slots "gpu:<device>", or "gpu:<device>:0", ... where trials share a GPU.

    Every device's first slot comes before any second. Devices are named as in CUDA_VISIBLE_DEVICES:
    "0", "1", or their UUIDs.
    """
    slots = []
    for index in range(trials_per_gpu):
        for device in devices:
            name = f"gpu:{device}"
            if trials_per_gpu > 1:
                name = f"{name}:{index}"
            environment = {**thread_environment(threads), "CUDA_VISIBLE_DEVICES": device}
            slots.append(Slot(name, environment))
    return tuple(slots)


def slots_that_fit(peak_mb: float, *, total_mb: float, margin: float) -> int:
    """How many trials of `peak_mb` fit into `total_mb`, the share `margin` of it left free.

    At least one, which may then halve its batches. `peak_mb` is all that a trial's process holds:
    on a GPU also the CUDA context and what torch's allocator keeps. Raises CheckFailed for no
    memory at all.
    """
    if not (peak_mb > 0 and total_mb > 0 and 0 <= margin < 1):
        raise CheckFailed(
            f"memory must be above 0 MB and a margin in [0, 1), got a peak of {peak_mb:g}, "
            f"a total of {total_mb:g} and a margin of {margin:g}."
        )
    # One in any case: a trial that does not fit halves its batches, and none at all is no study.
    return max(1, int(total_mb * (1 - margin) // peak_mb))


def cpu_environment(threads: int) -> dict[str, str]:
    """Variables of a slot that sees no GPU."""
    # Empty, not missing: without the variable CUDA shows a process every GPU.
    return {**thread_environment(threads), "CUDA_VISIBLE_DEVICES": ""}


def thread_environment(threads: int) -> dict[str, str]:
    """Variables that bound a slot's CPU threads and keep its memory."""
    return {**dict.fromkeys(_THREAD_VARIABLES, str(threads)), **_MALLOC}
