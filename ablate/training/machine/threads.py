"""How many CPU threads a slot gets: measured once on a machine and remembered, because scores depend on it in their last digits."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import torch

from ablate.training.machine.precision import (
    compute_device,
    remember,
    remembered,
    remembered_at,
    shortest,
    training_step,
    warn_of_damage,
)

WORTH_IT = 0.95
"""All cores in one slot are chosen where they are at least this share of `n_cores` times as fast as one: then trials side by side gain nothing."""
REPEATS = 3


def choose_threads(home: Path) -> int:
    """Return the CPU threads of a slot of this machine: 1, or all its cores; measured once, then remembered in `home`. Raises StoreError where it cannot be.

    As a rule one thread a slot wins: trials side by side share nothing that they would wait for. A GPU's slot gets one. What else the machine does while
    this is measured can slow either side (a speedup of 2.4 was seen on two cores), so all cores must win in each of `REPEATS` measurements.
    """
    n_cores = len(os.sched_getaffinity(0))
    if compute_device() == "cuda" or n_cores == 1:
        return 1
    path = remembered_at(home, "threads", n_cores)
    threads = (remembered(path) or {}).get("threads")
    if type(threads) is int and threads in (1, n_cores):
        return threads
    warn_of_damage(path)
    faster = min(speedup(n_cores) for _ in range(REPEATS))
    threads = n_cores if faster >= WORTH_IT * n_cores else 1
    remember(path, {"threads": threads, "cores": n_cores, "speedup": round(faster, 2)})
    return threads


def speedup(n_threads: int) -> float:
    """How many times as fast a training step is on `n_threads` as on one."""
    before = torch.get_num_threads()
    step = training_step(is_bf16=False, is_channels_last=True)

    def on(threads: int) -> object:
        torch.set_num_threads(threads)
        return step()

    try:
        seconds = shortest({threads: partial(on, threads) for threads in (1, n_threads)})
    finally:
        torch.set_num_threads(before)
    return seconds[1] / seconds[n_threads]
