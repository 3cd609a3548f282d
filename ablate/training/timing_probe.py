"""The first steps of a trial, timed, before a study is started.

What a kind of arm costs and how much memory it takes.
"""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass, field

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from ablate.errors import CheckFailed
from ablate.study.request import TrialRequest
from ablate.tracking.events import TrialOutcome
from ablate.training.loop.fit import EmitEpoch
from ablate.training.trial_run import run_trial

EPOCHS = 2
"""Epochs of a probe: the first warms up, the second is measured."""
STEPS = 2
"""Batches of each epoch."""
START_S = "probe/start_s"
STEP_S = "probe/step_s"
VAL_S = "probe/val_s"
END_S = "probe/end_s"
PEAK_MB = "probe/peak_mb"
TOTAL_MB = "probe/total_mb"


@dataclass
class _Clock:
    """When things happened, in seconds of `time.perf_counter`."""

    began: float = field(default_factory=time.perf_counter)
    steps: list[float] = field(default_factory=list)
    """Ends of optimizer steps."""
    epochs: list[float] = field(default_factory=list)
    """Ends of epochs, scored."""


def run_probe(request: TrialRequest, emit: EmitEpoch) -> TrialOutcome:
    """Run a trial of `EPOCHS` epochs of `STEPS` batches, and add its times to its metrics.

    `probe/step_s`: one optimizer step, with the batch that it needs; `probe/val_s`: between the
    epochs, so scoring val and whatever an epoch begins with; `probe/start_s`: until the first step;
    `probe/end_s`: from the last epoch to the end, with the test split; `probe/peak_mb`: all the
    memory that the process holds at its highest; `probe/total_mb`: what there is. Of a classifier
    that is fitted at once a step is a batch's share of features and fit, and scoring val is part of
    the start.
    """
    clock = _Clock()

    def note_epoch(epoch: int, n_epochs: int, metrics: dict[str, float]) -> None:
        clock.epochs.append(time.perf_counter())
        emit(epoch, n_epochs, metrics)

    # after every step of any optimizer: the trial itself stays as it is
    hook = register_optimizer_step_post_hook(lambda *_: clock.steps.append(time.perf_counter()))
    try:
        outcome = run_trial(request, note_epoch)
    finally:
        hook.remove()
    if request.trial.recipe.is_fitted:
        times = _times_of_fitted(clock, train_s=outcome.metrics["time/train_s"])
    else:
        times = _times_of_trained(clock)
    if request.compute.device == "cuda":
        peak_mb, total_mb = _gpu_memory_mb()
    else:
        peak_mb, total_mb = _host_memory_mb(outcome)
    memory = {PEAK_MB: peak_mb, TOTAL_MB: total_mb}
    return dataclasses.replace(outcome, metrics={**outcome.metrics, **times, **memory})


def _times_of_fitted(clock: _Clock, *, train_s: float) -> dict[str, float]:
    """The times of a classifier that is fitted at once: it has one epoch and no steps."""
    end = clock.epochs[0]
    return {
        START_S: end - clock.began - train_s,
        STEP_S: train_s / STEPS,
        VAL_S: 0.0,
        END_S: time.perf_counter() - end,
    }


def _times_of_trained(clock: _Clock) -> dict[str, float]:
    if len(clock.steps) != EPOCHS * STEPS or len(clock.epochs) != EPOCHS:
        raise CheckFailed(
            f"a probe must have {EPOCHS} epochs of {STEPS} steps, "
            f"got {len(clock.epochs)} and {len(clock.steps)} steps."
        )
    first, last_of_first_epoch, first_of_second_epoch, last = clock.steps
    step_s = last - first_of_second_epoch
    return {
        # The first step's end is the earliest that is seen: its own duration is not part of the
        # start.
        START_S: first - clock.began - step_s,
        STEP_S: step_s,
        # between the epochs lies a step, too
        VAL_S: first_of_second_epoch - last_of_first_epoch - step_s,
        END_S: time.perf_counter() - clock.epochs[-1],
    }


def _gpu_memory_mb() -> tuple[float, float]:
    """Memory of this slot's GPU that is taken now, and all of it.

    Tensors, what torch's allocator keeps of its peak, and the CUDA context. Whatever other
    processes hold there is in it, which errs on the safe side. Not run on a GPU yet.
    """
    free, total = torch.cuda.mem_get_info()
    return (total - free) / 1e6, total / 1e6


def _host_memory_mb(outcome: TrialOutcome) -> tuple[float, float]:
    """The process's peak, and the machine's memory."""
    n_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return outcome.metrics["cost/peak_memory_mb"], n_bytes / 1e6
