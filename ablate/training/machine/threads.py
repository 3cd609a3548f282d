"""How many CPU threads a slot gets.

Measured once on a machine and remembered, because scores depend on it in their last digits.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import torch

from ablate.training.machine.measurements import (
    measurement_file,
    read_measurement,
    shortest,
    warn_of_damage,
    write_measurement,
)
from ablate.training.machine.precision import compute_device, training_step

WORTH_IT = 0.95
"""All cores in one slot are chosen where they are at least this share of `n_cores` times as fast as
one: then trials side by side gain nothing."""
REPEATS = 3


def choose_threads(home: Path) -> int:
    """Return the CPU threads of a slot of this machine: 1, or all its cores.

    Measured once, then remembered in `home`. As a rule one thread per slot wins: trials side by
    side share nothing that they would wait for. A GPU's slot gets one. Raises StoreError where the
    measurement cannot be remembered.
    """
    n_cores = len(os.sched_getaffinity(0))
    if compute_device() == "cuda" or n_cores == 1:
        return 1
    path = measurement_file(home, "threads", n_cores)
    threads = (read_measurement(path) or {}).get("threads")
    # the exact type: True is an int too
    if type(threads) is int and threads in (1, n_cores):
        return threads
    warn_of_damage(path)
    # what else the machine does while this is measured can slow either side (a speedup of 2.4 was
    # seen on two cores), so all cores must win each time
    speedup_seen = min(speedup(n_cores) for _ in range(REPEATS))
    threads = n_cores if speedup_seen >= WORTH_IT * n_cores else 1
    measurement = {"threads": threads, "cores": n_cores, "speedup": round(speedup_seen, 2)}
    write_measurement(path, measurement)
    return threads


def speedup(n_threads: int) -> float:
    """Return how many times as fast a training step is on `n_threads` as on one."""
    threads_before = torch.get_num_threads()
    step = training_step(is_bf16=False, is_channels_last=True)

    def step_on(threads: int) -> object:
        torch.set_num_threads(threads)
        return step()

    try:
        seconds = shortest({threads: partial(step_on, threads) for threads in (1, n_threads)})
    finally:
        torch.set_num_threads(threads_before)
    return seconds[1] / seconds[n_threads]
