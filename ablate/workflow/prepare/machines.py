"""Where the trials of a prepared study run: this process, this machine's slots, or a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ablate.errors import SpecError
from ablate.scheduling.executors._base import Executor, Slot
from ablate.scheduling.executors.inline import InlineExecutor
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

Kind = Literal["local", "inline", "ray"]
# `module:function`, as text: workers import it by name, so that this process never imports torch.
RUN_TRIAL = "ablate.training.trial_run:run_trial"
CHOOSE_COMPUTE = "ablate.training.machine.precision:choose_compute"
MEMORY_PER_WORKER_MB = 2000.0
"""What a CPU worker may need where nobody measured.

It bounds the default number of workers on small machines.
"""


@dataclass(frozen=True, slots=True)
class Machines:
    """What a user asks for."""

    kind: Kind = "local"
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


def parse_kind(text: str, *, address: str | None = None, workers: int | None = None) -> Kind:
    """Check `--executor` and what must fit it. Raises SpecError."""
    if text not in ("local", "inline", "ray"):
        raise SpecError(f"--executor must be local, inline or ray, got {text!r}")
    if address is not None and text != "ray":
        raise SpecError(f"--address must come with --executor ray, got --executor {text}")
    if text == "inline" and workers not in (None, 1):
        raise SpecError(
            f"--workers must be 1 or left out with --executor inline, got {workers}: "
            "its trials run one after the other in the process of the command"
        )
    return text  # type: ignore[return-value]  # mypy does not narrow by `in`


@contextmanager
def executor_for(
    prepared: Prepared, machines: Machines, *, folder: Path, n_trials: int
) -> Iterator[tuple[Prepared, Executor]]:
    """The executor, while the block runs, and the study as it runs there.

    A cluster's nodes say how they compute, not the machine that asks. `folder` and `n_trials` are
    those of the study that runs, which may be the pilot of the prepared one. Raises RequestError
    where there is no such cluster, or Ray is not installed.
    """
    if machines.kind == "ray":
        with _on_cluster(prepared, machines, n_trials=n_trials) as found:
            yield found
    elif machines.kind == "inline":
        yield prepared, InlineExecutor(RUN_TRIAL)
    else:
        slots = choose_slots(prepared.compute, machines, n_trials=n_trials)
        executor = LocalExecutor(
            RUN_TRIAL, slots=slots, log_folder=folder / "logs", timeout_s=machines.timeout_s
        )
        yield prepared, executor


@contextmanager
def _on_cluster(
    prepared: Prepared, machines: Machines, *, n_trials: int
) -> Iterator[tuple[Prepared, Executor]]:
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
        # Asked of a node, which may have another processor or GPU than the machine of the command.
        compute: Compute = call_on_node(CHOOSE_COMPUTE, share, threads=threads)
        executor = RayExecutor(
            RUN_TRIAL,
            share=share,
            # A cluster says when it is full; more slots than trials would stand idle.
            max_slots=min(machines.workers or n_trials, n_trials),
            timeout_s=machines.timeout_s,
        )
        yield replace(prepared, compute=compute), executor


def choose_slots(compute: Compute, machines: Machines, *, n_trials: int) -> tuple[Slot, ...]:
    """Return every GPU, `trials_per_gpu` times, else shares of the cores.

    There are as many shares as fit cores and memory. `workers` overrides both; there is at most one
    slot for each trial.
    """
    if compute.device == "cuda":
        slots = gpu_slots(
            _visible_gpus(), threads=compute.threads, trials_per_gpu=machines.trials_per_gpu
        )
        # `gpu_slots` takes one of each GPU before a second one of any, so that cutting spreads
        # trials.
        return slots[: min(machines.workers or len(slots), n_trials)]
    by_memory = slots_that_fit(
        machines.peak_mb or MEMORY_PER_WORKER_MB, total_mb=_host_memory_mb(), margin=0.1
    )
    # The cores that this process may use: a container or a cluster's job has fewer than the
    # machine.
    by_cores = len(os.sched_getaffinity(0)) // compute.threads
    fitting = max(1, min(by_cores, by_memory))
    return cpu_slots(min(machines.workers or fitting, n_trials), threads=compute.threads)


def _visible_gpus() -> list[str]:
    """GPUs as CUDA_VISIBLE_DEVICES names them: numbers or UUIDs."""
    import torch

    all_of_them = ",".join(map(str, range(torch.cuda.device_count())))
    return os.environ.get("CUDA_VISIBLE_DEVICES", all_of_them).split(",")


def _host_memory_mb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
