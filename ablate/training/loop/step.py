"""One optimizer step on one batch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ablate.recipe.recipe import Recipe
from ablate.study.request import Compute
from ablate.training.feeds.batches import split_batches
from ablate.training.loop.active_phase import ActivePhase
from ablate.training.tasks._base import Task
from ablate.training.tasks.join_tiles import WHOLE_IMAGES, TileJoin
from ablate.training.transfer.source_outputs import SourceOutputs
from ablate.training.transfer.terms import Part, Watched


@dataclass(frozen=True, eq=False)
class TrainingSetup:
    """What stays the same in all phases of a trial's training."""

    recipe: Recipe
    task: Task
    compute: Compute
    seed: int
    select_by: str
    """`val/<metric>` that picks the best epoch."""
    micro_batch: int
    """Most images in the network at a time."""
    policy: str
    """The word for its views; see `recipe.policy`."""
    source: SourceOutputs | None = None
    """What the pretrained classifier says of the images, where the recipe needs it."""
    tiles: TileJoin = WHOLE_IMAGES
    """What makes the scores of images from those of their tiles."""


def train_batch(
    active: ActivePhase,
    setup: TrainingSetup,
    inputs: Tensor,
    labels: Tensor,
    recorded: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Step once on a batch of inputs (B, ...) and labels (B, ...).

    `recorded` (B, K) is what LwF keeps of its images. Returns the loss and the norm of all
    gradients before they were clipped, detached scalars.
    """
    # None, not 0: with decay or momentum a gradient of 0 would still move a weight.
    active.optimizer.zero_grad(set_to_none=True)
    loss = accumulate_gradients(active, setup, inputs, labels, recorded)
    # Unscaled before anything reads a gradient: penalty and clipping are in the units of the loss.
    active.scaler.unscale_(active.optimizer)
    if active.l2_sp is not None:
        active.l2_sp.add_gradient(active.network, weight=active.recipe.l2_sp)
    norm = clip_gradients(active)
    # With fp16 the step is skipped where a gradient overflowed; elsewhere it is a plain step.
    active.scaler.step(active.optimizer)
    active.scaler.update()
    if active.ema is not None:
        active.ema.update()
    return loss, norm


def accumulate_gradients(
    active: ActivePhase,
    setup: TrainingSetup,
    inputs: Tensor,
    labels: Tensor,
    recorded: Tensor | None = None,
) -> Tensor:
    """Leave the gradients of a batch's loss in the parameters and return the loss.

    The gradients of parts of a batch sum up to those of the whole. Terms beside the loss add their
    gradients, and are not in what is returned.
    """
    task = setup.task
    loss = torch.zeros((), device=labels.device)

    def forward(part: Tensor) -> Tensor:
        # Mixed precision ends with the network: losses are computed in fp32.
        with autocast(setup.compute):
            return active.trained_part.forward(part)

    for part in micro_batches(len(labels), micro_batch=setup.micro_batch):
        # By mass, not by number of images: with class weights a part may weigh more than its share.
        share = task.mass(labels[part]) / task.mass(labels)
        with _watched(active, forward, inputs[part]) as seen:
            part_loss = task.training_loss(forward, inputs[part], labels[part]) * share
        total = part_loss
        if active.transfer is not None and seen is not None:
            kept = None if recorded is None else recorded[part]
            n_share = len(labels[part]) / len(labels)
            shown = Part(labels[part], kept, n_share, seen.now, seen.start)
            total = total + active.transfer.total(active.network, shown)
        active.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
        loss += part_loss.detach()
    return loss


def _watched(
    active: ActivePhase, forward: Callable[[Tensor], Tensor], inputs: Tensor
) -> AbstractContextManager[Watched | None]:
    """What terms beside the loss see of the pass in the block; None where there are none."""
    if active.transfer is None:
        return nullcontext()
    return active.transfer.watching(active.network, forward, inputs)


def clip_gradients(active: ActivePhase) -> Tensor:
    """Scale all gradients together so that their norm is at most the recipe's `clip_norm`.

    Returns the norm that they had, nan where nothing is clipped.
    """
    if active.recipe.clip_norm is None:
        return torch.tensor(float("nan"))
    # Of the optimizer, not of the network: adapters and the head are in it, frozen weights not.
    parameters: list[Tensor] = []
    for group in active.optimizer.param_groups:
        parameters += group["params"]
    return torch.nn.utils.clip_grad_norm_(parameters, active.recipe.clip_norm).detach()


def micro_batches(n_images: int, *, micro_batch: int) -> list[slice]:
    """Cut a batch into parts of at most `micro_batch` images.

    A last part of one image joins the part before it.
    """
    slices = []
    for part in split_batches(np.arange(n_images), batch_size=micro_batch):
        # slices, as they take views of a tensor where arrays of numbers would copy it
        slices.append(slice(int(part[0]), int(part[-1]) + 1))
    return slices


def autocast(compute: Compute) -> AbstractContextManager[None]:
    """Mixed precision as `compute` asks; off for fp32."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[
        compute.precision
    ]
    return torch.autocast(compute.device, dtype, enabled=compute.precision != "fp32")
