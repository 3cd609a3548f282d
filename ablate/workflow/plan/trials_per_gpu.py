"""How many trials share a GPU, or run on a CPU at a time: a number, or as many as memory holds."""

from __future__ import annotations

from dataclasses import replace

from ablate.errors import SpecError
from ablate.scheduling.executors.slots import slots_that_fit
from ablate.workflow.folders import Folders
from ablate.workflow.plan.estimate import kinds_of
from ablate.workflow.plan.probe import probe_kinds
from ablate.workflow.prepare.check_arms import check_arms
from ablate.workflow.prepare.machines import Machines
from ablate.workflow.prepare.option_checks import read_trials_per_gpu
from ablate.workflow.prepare.resolved import Resolved

MARGIN = 0.1
"""Share of memory that stays free: a probe is short, and allocators fragment."""


def with_trials_per_gpu(
    machines: Machines, asked: str, resolved: Resolved, folders: Folders, *, threads: int
) -> Machines:
    """The machines with as many trials per GPU as `--trials-per-gpu` asks for.

    "auto" measures: as many as the memory of the largest kind of arm allows, on GPUs or CPU slots.
    Raises SpecError, StoreError.
    """
    number = read_trials_per_gpu(asked)
    if number is not None:
        return replace(machines, trials_per_gpu=number)
    if machines.kind == "ray":
        raise SpecError(
            "--trials-per-gpu auto must come with --executor local, "
            "memory is measured on this machine; name a number for a cluster"
        )
    # Built anew: remembered facts are a plan's, and this is a run.
    kinds = kinds_of(resolved, check_arms(resolved).facts)
    # One worker: what two take side by side is what is to be found out.
    probes = probe_kinds(resolved, kinds, folders, threads=threads, workers=1)
    peak_mb = max(measured.peak_mb for measured in probes.kinds.values())
    per_gpu = slots_that_fit(peak_mb, total_mb=probes.total_mb, margin=MARGIN)
    return replace(machines, peak_mb=peak_mb, trials_per_gpu=per_gpu)
