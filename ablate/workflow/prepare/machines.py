"""Where the trials of a prepared study run: this machine's slots, or a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ablate.errors import SpecError
from ablate.scheduling.executors._base import Executor, Slot
from ablate.scheduling.executors.local import LocalExecutor
from ablate.scheduling.executors.slots import (
    cpu_environment,
    cpu_slots,
    gpu_slots,
    slots_that_fit,
    thread_environment,
)
from ablate.study.request import Compute
from ablate.workflow.prepare.prepared import Prepared

RUN_TRIAL = "ablate.training.trial_run:run_trial"
CHOOSE_COMPUTE = "ablate.training.machine.precision:choose_compute"
MEMORY_PER_WORKER_MB = 2000.0
"""What a CPU worker may need where nobody measured; bounds the default number of workers on small machines."""


@dataclass(frozen=True, slots=True)
class Machines:
    """What the command line asks for."""

    kind: Literal["local", "ray"] = "local"
    address: str | None = None
    """Of the Ray cluster; None: `$RAY_ADDRESS`."""
    workers: int | None = None
    """Slots at most; None: as many as fit."""
    timeout_s: float | None = None
    """A trial that takes longer has hung."""
    trials_per_gpu: int = 1
    """Trials that share one GPU."""
    peak_mb: float | None = None
    """Host memory of the largest trial, measured; None: `MEMORY_PER_WORKER_MB`."""


def parse_kind(text: str, *, address: str | None) -> Literal["local", "ray"]:
    """Check `--executor`. Raises SpecError, or RequestError where Ray is asked for and not installed."""
    if text not in ("local", "ray"):
        raise SpecError(f"--executor must be local or ray, got {text!r}")
    if address is not None and text != "ray":
        raise SpecError(f"--address must come with --executor ray, got --executor {text}")
    if text == "local":
        return "local"

    return "ray"


@contextmanager
def executor_for(
    prepared: Prepared,
    machines: Machines,
    *,
    folder: Path | None = None,
    n_trials: int | None = None,
) -> Iterator[tuple[Prepared, Executor]]:
    """The executor, while the block runs, and the study as it runs there: a cluster's nodes say how they compute, not the machine that asks.

    `folder` and `n_trials` are those of the study that runs, by default the prepared one. Raises RequestError where there is no such cluster, or Ray is not
    installed.
    """
    n_trials = len(prepared.resolved.trials) if n_trials is None else n_trials
    if machines.kind == "local":
        slots = choose_slots(prepared.compute, machines, n_trials=n_trials)
        yield (
            prepared,
            LocalExecutor(
                RUN_TRIAL,
                slots=slots,
                log_folder=(folder or prepared.folder) / "logs",
                timeout_s=machines.timeout_s,
            ),
        )
        return
    from ablate.scheduling.executors.ray import RayExecutor
    from ablate.scheduling.executors.ray_cluster import Share, call_on_node, connected, has_gpus

    with connected(machines.address):
        threads = prepared.compute.threads
        if has_gpus():
            share = Share(
                cpus=threads,
                gpus=1 / machines.trials_per_gpu,
                environment=thread_environment(threads),
            )
        else:
            share = Share(cpus=threads, environment=cpu_environment(threads))
        compute: Compute = call_on_node(CHOOSE_COMPUTE, share, threads=threads)
        executor = RayExecutor(
            RUN_TRIAL,
            share=share,
            max_slots=min(machines.workers or n_trials, n_trials),
            timeout_s=machines.timeout_s,
        )
        yield replace(prepared, compute=compute), executor


def choose_slots(compute: Compute, machines: Machines, *, n_trials: int) -> tuple[Slot, ...]:
    """Return every GPU, `trials_per_gpu` times, else as many shares of the cores as fit cores and memory; `workers` overrides, at most one a trial."""
    if compute.device == "cuda":
        import torch

        devices = os.environ.get(
            "CUDA_VISIBLE_DEVICES", ",".join(map(str, range(torch.cuda.device_count())))
        ).split(",")
        slots = gpu_slots(devices, threads=compute.threads, trials_per_gpu=machines.trials_per_gpu)
        return slots[: min(machines.workers or len(slots), n_trials)]
    by_memory = slots_that_fit(
        machines.peak_mb or MEMORY_PER_WORKER_MB, total_mb=_host_memory_mb(), margin=0.1
    )
    fitting = max(1, min(len(os.sched_getaffinity(0)) // compute.threads, by_memory))
    return cpu_slots(min(machines.workers or fitting, n_trials), threads=compute.threads)


def _host_memory_mb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
