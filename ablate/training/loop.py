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


def fit(network: Network, task: Task, recipe: Recipe, *, lanes: Lanes, compute: Compute, seed: int, select_by: str, emit: Emit) -> Fit:
    """Train `network` and leave it with the weights of the epoch that is best by `select_by` on val.

    Raises TrialError where the loss stops being finite, naming the step.
    """
    optimizer = make_optimizer(network, recipe)
    peaks = [group["lr"] for group in optimizer.param_groups]
    scaler = torch.amp.GradScaler(compute.device, enabled=compute.precision == "fp16")
    steps_per_epoch = len(split_batches(np.arange(len(lanes.train.labels)), batch_size=recipe.batch_size))
    n_steps = steps_per_epoch * recipe.epochs
    warmup_steps = round(recipe.warmup * n_steps)
    best: Fit | None = None
    best_state: dict[str, Tensor] = {}
    step, train_s = 0, 0.0

    for epoch in range(recipe.epochs):
        started = time.perf_counter()
        network.train()  # frozen units stay in eval: their BatchNorm statistics must not move
        losses = []
        for inputs, labels in lanes.train.train(policy=recipe.augment, seed=seed, epoch=epoch, batch_size=recipe.batch_size):
            factor = lr_factor(step, n_steps=n_steps, warmup_steps=warmup_steps, schedule=recipe.schedule)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            with autocast(compute):
                outputs = lanes.forward(inputs)
            loss = task.loss(outputs, labels)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.detach())
            step += 1
        train_loss = _mean_loss(losses, first_step=step - len(losses), epoch=epoch)
        train_s += time.perf_counter() - started

        predictions = predict(network, task, lanes.val, forward=lanes.forward, compute=compute)
        scores = {f"val/{name}": value for name, value in task.evaluate(predictions, lanes.val.labels).items()}
        emit(epoch, recipe.epochs, {"train/loss": train_loss, "lr/head": max(peaks) * factor, **scores})
        if best is None or is_better(select_by, scores[select_by], than=best.val_scores[select_by]):
            best = Fit(epoch, scores, predictions, epoch + 1, step, train_s)
            best_state = delta(network)
        elif recipe.patience is not None and epoch - best.best_epoch >= recipe.patience:
            break

    assert best is not None  # epochs >= 1
    load_delta(network, best_state)
    return Fit(best.best_epoch, best.val_scores, best.val_predictions, epoch + 1, step, train_s)


def predict(network: Network, task: Task, feed: Feed, *, forward: Callable[[Tensor], Tensor], compute: Compute) -> NDArray[np.float32]:
    """Return the predictions of a whole split, (N, C) float32, in the order of the split; the network is left in eval mode."""
    network.module.eval()
    with torch.inference_mode(), autocast(compute):
        return torch.cat([task.predict(forward(inputs)) for inputs, _ in feed.evaluate(batch_size=EVAL_BATCH)]).cpu().numpy()


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
