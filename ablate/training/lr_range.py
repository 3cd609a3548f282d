"""The LR range test: train for a moment while the LR grows, and see where the loss falls fastest and where it breaks (Smith, WACV 2017)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ablate.data.store import open_store
from ablate.model.network import build_network
from ablate.recipe.policy import policy_word
from ablate.recipe.strategy import phases_of
from ablate.study.request import TrialRequest
from ablate.training.feeds.trained_part import open_lanes, train_sampling
from ablate.training.loop.active_phase import open_stage
from ablate.training.loop.l2_sp import StartingPoint
from ablate.training.loop.step import Course, autocast, train_batch
from ablate.training.tasks import TrainTargets, make_task
from ablate.training.trial_run import slot_compute

BREAKS_AT = 4.0
"""The test ends where the smoothed loss is so many times its least."""
SMOOTHING = 0.9
"""Weight of the losses before in the mean that is looked at."""


@dataclass(frozen=True)
class LrRange:
    """What a range test saw; the learning rates are the head's, everything else kept its ratio to it."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    """Exponential mean over the steps, corrected for its start."""
    suggestion: float
    """Where the loss falls fastest over log(LR)."""
    largest: float
    """Where the loss is least: at and above it, training breaks or soon will."""


def lr_range(request: TrialRequest, *, lowest: float, highest: float, n_steps: int) -> LrRange:
    """Train the last phase of the request's recipe for up to `n_steps` steps while the head's LR grows evenly in its logarithm from `lowest` to `highest`.

    Groups keep their ratios (`lr_ratio`, `layer_decay`). Nothing is written or cached, and nothing of the request's trial is touched.
    """
    recipe, compute = request.trial.recipe, slot_compute(request.compute, request.trial.recipe)
    torch.set_num_threads(compute.threads)
    store = open_store(request.store_path)
    network = build_network(
        recipe,
        n_classes=request.n_classes,
        image_size=request.trial.data.image_size,
        seed=request.trial.seed,
    )
    network.module.to(compute.device)
    if compute.channels_last:
        network.module.to(memory_format=torch.channels_last)
    seed, policy = request.trial.seed, policy_word(recipe, source=request.trial.data.source)
    rows = train_sampling(recipe, store, seed=seed).rows
    in_use = TrainTargets(store.targets("train").take(rows), store.class_names)
    task = make_task(request.trial.task, recipe, in_use, device=compute.device)
    stage = open_stage(
        network,
        recipe,
        len(phases_of(recipe)) - 1,
        open_lanes=lambda now, _: open_lanes(
            now,
            store,
            recipe=recipe,
            compute=compute,
            autocast=lambda: autocast(compute),
            sharing=None,
            seed=seed,
        ),
        start=StartingPoint(network) if recipe.l2_sp > 0 else None,
    )
    course = Course(
        recipe,
        task,
        compute,
        seed,
        request.trial.select_by,
        recipe.micro_batch or recipe.batch_size,
        policy,
    )
    rates, losses = [], Smoothed()
    epochs = (
        stage.lanes.train.train(
            policy=policy, seed=course.seed, epoch=epoch, batch_size=recipe.batch_size
        )
        for epoch in itertools.count()
    )
    with torch.random.fork_rng(
        devices=range(torch.cuda.device_count()) if compute.device == "cuda" else []
    ):
        torch.manual_seed(course.seed)
        stage.network.train()
        for step, (inputs, labels) in enumerate(
            itertools.islice(itertools.chain.from_iterable(epochs), n_steps)
        ):
            rates.append(lowest * (highest / lowest) ** (step / max(1, n_steps - 1)))
            for group, peak in zip(stage.optimizer.param_groups, stage.peaks, strict=True):
                group["lr"] = peak / stage.recipe.head_lr * rates[-1]
            loss, _ = train_batch(stage, course, inputs, labels)
            if losses.add(float(loss)):
                break
    return read_range(rates[: len(losses.means)], losses.means)


class Smoothed:
    """Losses and their exponential mean."""

    def __init__(self) -> None:
        self._sum, self.means = 0.0, list[float]()

    def add(self, loss: float) -> bool:
        """Take in a loss; returns whether training has broken."""
        if not math.isfinite(loss):
            return True
        self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * loss
        self.means.append(self._sum / (1 - SMOOTHING ** (len(self.means) + 1)))
        return self.means[-1] > BREAKS_AT * min(self.means)


def read_range(rates: Sequence[float], losses: Sequence[float]) -> LrRange:
    """Return the steepest fall of the smoothed losses over log(LR), before their least; with fewer than three losses, the first rate."""
    least = int(np.argmin(losses)) if losses else 0
    if least < 2:
        return LrRange(tuple(rates), tuple(losses), suggestion=rates[0], largest=rates[least])
    slopes = np.gradient(np.asarray(losses[: least + 1]), np.log(rates[: least + 1]))
    return LrRange(
        tuple(rates),
        tuple(losses),
        suggestion=float(rates[int(np.argmin(slopes))]),
        largest=float(rates[least]),
    )
