"""The training loop: flat, in order, no hooks."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.errors import TrialError
from ablate.model.delta import delta, load_delta
from ablate.model.network import Network
from ablate.recipe.phase import Phase
from ablate.recipe.strategy import n_epochs, phases_of
from ablate.study.request import Compute
from ablate.study.trial import is_better, is_score
from ablate.training.feeds.trained_part import Feed, Lanes
from ablate.training.loop.active_phase import OpenLanes, Stage, open_stage
from ablate.training.loop.checkpoint import Best, Checkpoint, Progress
from ablate.training.loop.l2_sp import StartingPoint
from ablate.training.loop.step import Course, autocast, train_batch
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
    lanes: Lanes
    """Those of the last phase."""


def fit(
    network: Network, course: Course, *, open_lanes: OpenLanes, emit: Emit, checkpoint: Checkpoint
) -> Fit:
    """Train `network` phase by phase and leave it with the weights of the epoch that is best by `course.select_by` on val, over all phases.

    A phase starts from the best weights so far. Goes on from `checkpoint`, where it has an epoch, and emits the epochs before it again. Raises TrialError
    where the loss stops being finite, naming the step, and where no epoch has a finite score to be chosen by.
    """
    recipe, phases = course.recipe, phases_of(course.recipe)
    start = StartingPoint(network) if recipe.l2_sp > 0 else None
    kept = checkpoint.read()
    done = Progress() if kept is None else kept.progress
    for epoch, metrics in enumerate(done.history):
        emit(epoch, n_epochs(recipe), metrics)

    for number in range(done.phase, len(phases)):
        stage = open_stage(network, recipe, number, open_lanes=open_lanes, start=start)
        if number > done.phase:
            done.begin(number)
        elif kept is not None:
            kept.put_back(stage)
        while not is_over(phases[number], done):
            metrics = train_epoch(stage, course, done)
            scores = judge(network, stage, course, done)
            where = (
                {"phase": number, "frozen_units": stage.network.boundary.depth}
                if len(phases) > 1
                else {}
            )
            done.history.append({**metrics, **scores, **where})
            done.n_epochs += 1
            emit(done.n_epochs - 1, n_epochs(recipe), done.history[-1])
            checkpoint.save(done, stage)
        load_delta(network, found_best(done, course.select_by).state)
        if number + 1 < len(phases):
            stage.lanes.close()

    best = found_best(done, course.select_by)
    return Fit(
        best.epoch,
        best.scores,
        best.predictions,
        done.n_epochs,
        done.n_steps,
        done.train_s,
        stage.lanes,
    )


def found_best(done: Progress, select_by: str) -> Best:
    """The best epoch so far. Raises TrialError where no epoch has a score that may choose."""
    if done.best is None:
        raise no_score(select_by, done.history[-1][select_by])
    return done.best


def no_score(select_by: str, value: float) -> TrialError:
    """What is said where nothing can choose."""
    return TrialError(
        f"{select_by} must be a finite number after some epoch, got {value:g} after every one; select by a score that the val images allow, or lower head_lr"
    )


def is_over(phase: Phase, done: Progress) -> bool:
    """Whether the current phase has had its epochs, or its plateau: so many of its own epochs since the best one, of whatever phase."""
    if done.n_epochs - done.first_epoch >= phase.epochs:
        return True
    if phase.patience is None or done.best is None:
        return False
    return done.n_epochs - 1 - max(done.best.epoch, done.first_epoch - 1) >= phase.patience


def train_epoch(stage: Stage, course: Course, done: Progress) -> dict[str, float]:
    """Train on every image once, count the steps in `done`, and return what the epoch says of itself: `train/loss`, `lr/head`, ..."""
    started = time.perf_counter()
    recipe, epoch = course.recipe, done.n_epochs
    stage.network.train()  # frozen units stay in eval: their BatchNorm statistics must not move
    losses, norms, head_lr = [], [], 0.0
    for inputs, labels in stage.lanes.train.train(
        policy=course.policy, seed=course.seed, epoch=epoch, batch_size=recipe.batch_size
    ):
        head_lr = stage.set_rates(done.n_steps - done.first_step)
        loss, norm = train_batch(stage, course, inputs, labels)
        losses.append(loss)
        norms.append(norm)
        done.n_steps += 1
    metrics = {
        "train/loss": _mean_loss(losses, first_step=done.n_steps - len(losses), epoch=epoch),
        "lr/head": head_lr,
    }
    if recipe.clip_norm is not None:
        metrics["train/gradient_norm"] = float(torch.stack(norms).mean())
    if stage.start is not None:
        metrics["train/l2_sp"] = stage.start.penalty(stage.network, weight=recipe.l2_sp)
    done.train_s += time.perf_counter() - started
    return metrics


def judge(network: Network, stage: Stage, course: Course, done: Progress) -> dict[str, float]:
    """Score val, `val/<metric>`, with the averaged weights where there are some; keep predictions and weights in `done` where they are the best so far."""
    lanes, batch_size = stage.lanes, _eval_batch(course)
    with nullcontext() if stage.average is None else stage.average.in_place():
        predictions = predict(
            network,
            course.task,
            lanes.val,
            forward=lanes.evaluate,
            compute=course.compute,
            batch_size=batch_size,
        )
        scores = {
            f"val/{name}": value
            for name, value in course.task.evaluate(predictions, lanes.val.labels).items()
        }
        chosen_by = scores[course.select_by]
        if is_score(chosen_by) and (
            done.best is None
            or is_better(course.select_by, chosen_by, than=done.best.scores[course.select_by])
        ):
            done.best = Best(done.n_epochs, scores, predictions, delta(network))
    return scores


def _eval_batch(course: Course) -> int:
    """Evaluation needs less memory an image, and shrinks in step where memory is short."""
    return max(
        1,
        EVAL_BATCH * min(course.micro_batch, course.recipe.batch_size) // course.recipe.batch_size,
    )


def predict(
    network: Network,
    task: Task,
    feed: Feed,
    *,
    forward: Callable[[Tensor], Tensor],
    compute: Compute,
    batch_size: int = EVAL_BATCH,
) -> NDArray[np.float32]:
    """Return the predictions of a whole split, (N, C) float32, in the order of the split; the network is left in eval mode."""
    network.module.eval()
    with torch.inference_mode(), autocast(compute):
        return (
            torch.cat(
                [
                    task.predictions(forward, inputs)
                    for inputs, _ in feed.evaluate(batch_size=batch_size)
                ]
            )
            .cpu()
            .numpy()
        )


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
