"""The first steps of a trial, timed: what a kind of arm costs and how much memory it takes, before a study is started."""

from __future__ import annotations

import dataclasses
import os
import time

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from ablate.errors import CheckFailed
from ablate.study.request import TrialRequest
from ablate.tracking.events import TrialOutcome
from ablate.training.loop.fit import EmitEpoch
from ablate.training.trial_run import run_trial

EPOCHS, STEPS = 2, 2
"""Epochs of a probe, and batches of each: the first epoch warms up, the second is measured."""
START_S, STEP_S, VAL_S, END_S = "probe/start_s", "probe/step_s", "probe/val_s", "probe/end_s"
PEAK_MB, TOTAL_MB = "probe/peak_mb", "probe/total_mb"


def run_probe(request: TrialRequest, emit: EmitEpoch) -> TrialOutcome:
    """Run a trial of `EPOCHS` epochs of `STEPS` batches as it is, and add what its parts took to its metrics.

    `probe/step_s`: one optimizer step, with the batch that it needs; `probe/val_s`: between the epochs, so scoring val and whatever an epoch begins with;
    `probe/start_s`: until the first step; `probe/end_s`: from the last epoch to the end, with the test split; `probe/peak_mb`: all the memory that the
    process holds at its highest; `probe/total_mb`: what there is. Of a classifier that is fitted at once a step is a batch's share of features and fit, and
    scoring val is part of the start.
    """
    began, steps, ends = time.perf_counter(), [], []

    def note(epoch: int, n_epochs: int, metrics: dict[str, float]) -> None:
        ends.append(time.perf_counter())
        emit(epoch, n_epochs, metrics)

    hook = register_optimizer_step_post_hook(lambda *_: steps.append(time.perf_counter()))
    try:
        outcome = run_trial(request, note)
    finally:
        hook.remove()
    if request.trial.recipe.is_fitted:
        train_s = outcome.metrics["time/train_s"]
        times = {
            START_S: ends[0] - began - train_s,
            STEP_S: train_s / STEPS,
            VAL_S: 0.0,
            END_S: time.perf_counter() - ends[0],
        }
    elif len(steps) != EPOCHS * STEPS or len(ends) != EPOCHS:
        raise CheckFailed(
            f"a probe must have {EPOCHS} epochs of {STEPS} steps, got {len(ends)} and {len(steps)} steps."
        )
    else:
        step_s = steps[3] - steps[2]
        times = {
            START_S: steps[0] - began - step_s,
            STEP_S: step_s,
            VAL_S: steps[2] - steps[1] - step_s,
            END_S: time.perf_counter() - ends[1],
        }
    peak_mb, total_mb = (
        _gpu_memory_mb() if request.compute.device == "cuda" else _host_memory_mb(outcome)
    )
    return dataclasses.replace(
        outcome, metrics={**outcome.metrics, **times, PEAK_MB: peak_mb, TOTAL_MB: total_mb}
    )


def _gpu_memory_mb() -> tuple[float, float]:
    """Memory of this slot's GPU that is taken now, and all of it: tensors, what torch's allocator keeps of its peak, and the CUDA context.

    Whatever other processes hold there is in it, which errs on the safe side. Not run on a GPU yet.
    """
    free, total = torch.cuda.mem_get_info()
    return (total - free) / 1e6, total / 1e6


def _host_memory_mb(outcome: TrialOutcome) -> tuple[float, float]:
    """The process's peak, and the machine's memory."""
    return outcome.metrics["cost/peak_memory_mb"], os.sysconf("SC_PAGE_SIZE") * os.sysconf(
        "SC_PHYS_PAGES"
    ) / 1e6
