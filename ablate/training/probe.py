"""The first steps of a trial, timed: what a kind of arm costs and how much memory it takes, before a study is started."""

from __future__ import annotations

import dataclasses
import os
import time

import torch

from ablate.spec.request import TrialRequest
from ablate.tracking.events import TrialOutcome
from ablate.training.loop import Emit
from ablate.training.trial import run_trial

EPOCHS = 2
"""One that warms up, one that is measured."""
START_S, EPOCH_S, END_S = "probe/start_s", "probe/epoch_s", "probe/end_s"
PEAK_MB, TOTAL_MB = "probe/peak_mb", "probe/total_mb"


def run_probe(request: TrialRequest, emit: Emit) -> TrialOutcome:
    """Run a trial of `EPOCHS` short epochs as it is, and add when what was done to its metrics.

    `probe/start_s`: until training could begin; `probe/epoch_s`: the second epoch; `probe/end_s`: from the last epoch to the end, with the test split;
    `probe/peak_mb`: all the memory that the process holds at its highest; `probe/total_mb`: what there is.
    """
    marks = [time.perf_counter()]

    def note(epoch: int, n_epochs: int, metrics: dict[str, float]) -> None:
        marks.append(time.perf_counter())
        emit(epoch, n_epochs, metrics)

    outcome = run_trial(request, note)
    ended = time.perf_counter()
    epoch_s = marks[2] - marks[1]
    times = {START_S: max(0.0, marks[1] - marks[0] - epoch_s), EPOCH_S: epoch_s, END_S: ended - marks[2]}
    peak_mb, total_mb = _gpu_memory_mb() if request.compute.device == "cuda" else _host_memory_mb(outcome)
    return dataclasses.replace(outcome, metrics={**outcome.metrics, **times, PEAK_MB: peak_mb, TOTAL_MB: total_mb})


def _gpu_memory_mb() -> tuple[float, float]:
    """Memory of this slot's GPU that is taken now, and all of it: tensors, what torch's allocator keeps of its peak, and the CUDA context.

    Whatever other processes hold there is in it, which errs on the safe side. Not run on a GPU yet.
    """
    free, total = torch.cuda.mem_get_info()
    return (total - free) / 1e6, total / 1e6


def _host_memory_mb(outcome: TrialOutcome) -> tuple[float, float]:
    """The process's peak, and the machine's memory."""
    return outcome.metrics["cost/peak_memory_mb"], os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
