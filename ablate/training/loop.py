"""The training loop: flat, in order, no hooks."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.errors import TrialError
from ablate.model.delta import delta, load_delta
from ablate.model.network import Network
from ablate.model.param_groups import param_groups
from ablate.spec.recipe import Recipe
from ablate.spec.request import Compute
from ablate.spec.trial import is_better
from ablate.training.batches import split_batches
from ablate.training.checkpoint import Best, Checkpoint
from ablate.training.lanes import Feed, Lanes
from ablate.training.schedule import lr_factor
from ablate.training.tasks._base import Task

Emit = Callable[[int, int, dict[str, float]], None]
"""Takes (epoch, n_epochs, metrics of the epoch)."""
EVAL_BATCH = 64


@dataclass(frozen=True)
class Fit:
    """What training found; the network holds the weights of the best epoch."""

    best_epoch: int
    val_scores: dict[str, float]
    """`val/<metric>` at the best epoch."""
    val_predictions: NDArray[np.float32]
    n_epochs: int
    """Epochs that ran; fewer than asked when patience ended."""
    n_steps: int
    train_s: float
    """Seconds in training steps, without evaluation."""


def fit(
    network: Network,
    task: Task,
    recipe: Recipe,
    *,
    lanes: Lanes,
    compute: Compute,
    seed: int,
    policy: str,
    select_by: str,
    emit: Emit,
    checkpoint: Checkpoint,
    micro_batch: int,
) -> Fit:
    """Train `network` and leave it with the weights of the epoch that is best by `select_by` on val.

    Goes on from `checkpoint`, where it has an epoch, and emits the epochs before it again. At most `micro_batch` images are in the network at a time; the
    gradients of a batch are summed up. Raises TrialError where the loss stops being finite, naming the step.
    """
    optimizer = make_optimizer(network, recipe)
    peaks = [group["lr"] for group in optimizer.param_groups]
    scaler = torch.amp.GradScaler(compute.device, enabled=compute.precision == "fp16")
    steps_per_epoch = len(split_batches(np.arange(len(lanes.train.labels)), batch_size=recipe.batch_size))
    n_steps = steps_per_epoch * recipe.epochs
    warmup_steps = round(recipe.warmup * n_steps)
    done = checkpoint.resume(network, optimizer, scaler)
    for epoch, metrics in enumerate(done.history):
        emit(epoch, recipe.epochs, metrics)

    for epoch in range(done.n_epochs, recipe.epochs):
        started = time.perf_counter()
        network.train()  # frozen units stay in eval: their BatchNorm statistics must not move
        losses = []
        for inputs, labels in lanes.train.train(policy=policy, seed=seed, epoch=epoch, batch_size=recipe.batch_size):
            factor = lr_factor(done.n_steps, n_steps=n_steps, warmup_steps=warmup_steps, schedule=recipe.schedule)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            optimizer.zero_grad(set_to_none=True)
            loss = torch.zeros((), device=labels.device)
            for part in micro_batches(len(labels), micro_batch=micro_batch):
                with autocast(compute):
                    outputs = lanes.forward(inputs[part])
                part_loss = task.loss(outputs, labels[part]) * (task.mass(labels[part]) / task.mass(labels))
                scaler.scale(part_loss).backward()  # type: ignore[no-untyped-call]
                loss += part_loss.detach()
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss)
            done.n_steps += 1
        train_loss = _mean_loss(losses, first_step=done.n_steps - len(losses), epoch=epoch)
        done.train_s += time.perf_counter() - started

        predictions = predict(network, task, lanes.val, forward=lanes.forward, compute=compute, batch_size=_eval_batch(recipe, micro_batch))
        scores = {f"val/{name}": value for name, value in task.evaluate(predictions, lanes.val.labels).items()}
        done.history.append({"train/loss": train_loss, "lr/head": max(peaks) * factor, **scores})
        done.n_epochs = epoch + 1
        emit(epoch, recipe.epochs, done.history[-1])
        if done.best is None or is_better(select_by, scores[select_by], than=done.best.scores[select_by]):
            done.best = Best(epoch, scores, predictions, delta(network))
        elif recipe.patience is not None and epoch - done.best.epoch >= recipe.patience:
            break
        checkpoint.save(done, network, optimizer, scaler)

    assert done.best is not None  # epochs >= 1
    load_delta(network, done.best.state)
    return Fit(done.best.epoch, done.best.scores, done.best.predictions, done.n_epochs, done.n_steps, done.train_s)


def micro_batches(n_images: int, *, micro_batch: int) -> list[slice]:
    """Cut a batch into parts of at most `micro_batch` images; a last part of one joins the part before it."""
    parts = split_batches(np.arange(n_images), batch_size=micro_batch)
    return [slice(int(part[0]), int(part[-1]) + 1) for part in parts]


def _eval_batch(recipe: Recipe, micro_batch: int) -> int:
    """Evaluation needs less memory an image, and shrinks in step where memory is short."""
    return max(1, EVAL_BATCH * micro_batch // recipe.batch_size)


def predict(
    network: Network, task: Task, feed: Feed, *, forward: Callable[[Tensor], Tensor], compute: Compute, batch_size: int = EVAL_BATCH
) -> NDArray[np.float32]:
    """Return the predictions of a whole split, (N, C) float32, in the order of the split; the network is left in eval mode."""
    network.module.eval()
    with torch.inference_mode(), autocast(compute):
        return torch.cat([task.predict(forward(inputs)) for inputs, _ in feed.evaluate(batch_size=batch_size)]).cpu().numpy()


def make_optimizer(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW or SGD with Nesterov's momentum over the network's parameter groups."""
    groups = param_groups(network, recipe)
    is_fused = next(network.module.parameters()).device.type in ("cpu", "cuda")
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.head_lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=is_fused)
    return torch.optim.AdamW(groups, lr=recipe.head_lr, fused=is_fused)


def autocast(compute: Compute) -> AbstractContextManager[None]:
    """Mixed precision as `compute` asks; off for fp32."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[compute.precision]
    return torch.autocast(compute.device, dtype, enabled=compute.precision != "fp32")


def _mean_loss(losses: list[Tensor], *, first_step: int, epoch: int) -> float:
    """Mean of the epoch's losses; looked at once an epoch, so that a GPU is not made to wait for every batch."""
    values = torch.stack(losses).cpu()
    bad = torch.nonzero(~torch.isfinite(values)).flatten()
    if len(bad):
        step = first_step + int(bad[0])
        raise TrialError(
            f"the loss must stay finite, got {values[bad[0]].item()} at step {step} (epoch {epoch}); try a lower head_lr or lr_ratio, or precision: fp32"
        )
    return float(values.mean())
