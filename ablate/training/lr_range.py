"""The LR range test: train for a moment while the LR grows (Smith, WACV 2017).

Where the loss falls fastest is a rate to start with, where it breaks one to stay below.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ablate.data.store import ImageStore
from ablate.model.network import Network, build_network
from ablate.recipe.policy import policy_word
from ablate.recipe.strategy import phases_of
from ablate.study.request import Compute, TrialRequest
from ablate.training.feeds.rows import CacheUse
from ablate.training.feeds.trained_part import TrainedPart, open_trained_part, train_sampling
from ablate.training.loop.active_phase import ActivePhase, open_phase
from ablate.training.loop.fit import recorded_batches
from ablate.training.loop.held_to import held_to
from ablate.training.loop.step import TrainingSetup, autocast, train_batch
from ablate.training.request_images import images_of
from ablate.training.tasks import TrainTargets, make_task
from ablate.training.transfer.record_source import record_source

BREAKS_AT = 4.0
"""The test ends where the smoothed loss is so many times its least."""
SMOOTHING = 0.9
"""Weight of the losses before in the mean that is looked at."""
_FEWEST_BEFORE_LEAST = 2
"""Losses that must come before the least one, so that there are slopes to choose from."""


@dataclass(frozen=True)
class LrRange:
    """What a range test saw.

    The learning rates are the head's, everything else kept its ratio to it.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    """Exponential mean over the steps, corrected for its start."""
    suggestion: float
    """Where the loss falls fastest over log(LR)."""
    largest: float
    """Where the loss is least: at and above it, training breaks or soon will."""


def lr_range(request: TrialRequest, *, lowest: float, highest: float, n_steps: int) -> LrRange:
    """Train while the head's LR grows evenly in its logarithm from `lowest` to `highest`.

    Trains the last phase of the request's recipe for up to `n_steps` steps. Groups keep their
    ratios (`lr_ratio`, `layer_decay`). Nothing is written or cached, and nothing of the request's
    trial is touched.
    """
    recipe = request.trial.recipe
    compute = request.compute.of(recipe)
    torch.set_num_threads(compute.threads)
    store = images_of(request)
    # The phases before it are not trained: the last one starts from the pretrained weights.
    setup = _setup(request, store, compute)
    active = _open_last_phase(request, store, setup)
    rates: list[float] = []
    losses = Smoothed()
    with _own_generators(setup.seed, compute):
        active.network.train()
        batches = itertools.islice(_endless_batches(active, setup), n_steps)
        for step, batch in enumerate(batches):
            # Even steps of log(LR); with a single step it stays at the lowest.
            rate = lowest * (highest / lowest) ** (step / max(1, n_steps - 1))
            rates.append(rate)
            for group, peak in zip(active.optimizer.param_groups, active.peaks, strict=True):
                # Peaks are absolute: divided by the head's they are the ratios that every group
                # keeps.
                group["lr"] = peak / active.recipe.head_lr * rate
            loss, _ = train_batch(active, setup, *batch)
            if losses.add(float(loss)):
                break
    # a loss that is not finite is in no mean, its rate is left out with it
    return read_range(rates[: len(losses.means)], losses.means)


@dataclass
class Smoothed:
    """Losses and their exponential mean, corrected for its start as Adam's moments are."""

    means: list[float] = field(default_factory=list)
    _sum: float = 0.0

    def add(self, loss: float) -> bool:
        """Take in a loss; returns whether training has broken."""
        if not math.isfinite(loss):
            return True
        self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * loss
        # The sum starts at 0, and the weights of n losses add up to 1 - SMOOTHING ** n only.
        self.means.append(self._sum / (1 - SMOOTHING ** (len(self.means) + 1)))
        return self.means[-1] > BREAKS_AT * min(self.means)


def read_range(rates: Sequence[float], losses: Sequence[float]) -> LrRange:
    """Return the steepest fall of the smoothed losses over log(LR), before their least.

    With fewer than three losses up to there, the first rate.
    """
    least = 0
    if losses:
        least = int(np.argmin(losses))
    suggestion = rates[0]
    if least >= _FEWEST_BEFORE_LEAST:
        # Up to the least loss alone: behind it the loss may fall again, out of a training that
        # broke.
        slopes = np.gradient(np.asarray(losses[: least + 1]), np.log(rates[: least + 1]))
        suggestion = rates[int(np.argmin(slopes))]
    return LrRange(
        tuple(rates), tuple(losses), suggestion=float(suggestion), largest=float(rates[least])
    )


def _build(request: TrialRequest, compute: Compute) -> Network:
    shown = request.trial.shown
    network = build_network(
        request.trial.recipe,
        n_classes=request.n_classes,
        image_size=shown.image_size,
        seed=request.trial.seed,
    )
    network = replace(network, preprocessing=network.preprocessing.as_shown(shown))
    network.module.to(compute.device)
    if compute.channels_last:
        network.module.to(memory_format=torch.channels_last)
    return network


def _open_last_phase(request: TrialRequest, store: ImageStore, setup: TrainingSetup) -> ActivePhase:
    recipe = setup.recipe
    compute = setup.compute
    network = _build(request, compute)

    def open_unshared(now: Network, _n_epochs: int) -> TrainedPart:
        return open_trained_part(
            now,
            store,
            recipe=recipe,
            compute=compute,
            autocast=lambda: autocast(compute),
            # No cache: rows of a test would push out those that trials share.
            sharing=None,
            seed=setup.seed,
        )

    return open_phase(
        network,
        recipe,
        len(phases_of(recipe)) - 1,
        open_trained_part=open_unshared,
        held_to=held_to(network, recipe, setup.source),
    )


def _setup(request: TrialRequest, store: ImageStore, compute: Compute) -> TrainingSetup:
    recipe = request.trial.recipe
    seed = request.trial.seed
    # Class weights and shares are counted on the images in use, as in the trial itself.
    rows = train_sampling(recipe, store, seed=seed).rows
    in_use = TrainTargets(store.targets("train").take(rows), store.class_names)
    task = make_task(request.trial.task, recipe, in_use, device=compute.device)
    # Nothing is kept of this pass either.
    uncached = request.model_copy(update={"cache": None})
    source = record_source(uncached, store, compute, build=_build, use=CacheUse())
    return TrainingSetup(
        recipe=recipe,
        task=task,
        compute=compute,
        seed=seed,
        select_by=request.trial.select_by,
        micro_batch=recipe.micro_batch or recipe.batch_size,
        policy=policy_word(recipe, source=request.trial.data.source),
        source=source,
    )


def _endless_batches(
    active: ActivePhase, setup: TrainingSetup
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Batches of inputs (B, ...), labels (B,) and what LwF keeps, epoch after epoch."""
    for epoch in itertools.count():
        # An augmented view depends on the epoch, so that no pass shows the same images twice.
        batches = active.trained_part.train.train(
            policy=setup.policy,
            seed=setup.seed,
            epoch=epoch,
            batch_size=setup.recipe.batch_size,
        )
        recorded = recorded_batches(active, setup, epoch=epoch)
        for (inputs, labels), kept in zip(batches, recorded, strict=False):
            yield inputs, labels, kept


@contextmanager
def _own_generators(seed: int, compute: Compute) -> Iterator[None]:
    """Torch's global generators from `seed`, and as they were afterwards."""
    n_gpus = 0
    if compute.device == "cuda":
        n_gpus = torch.cuda.device_count()
    with torch.random.fork_rng(devices=range(n_gpus)):
        torch.manual_seed(seed)
        yield
