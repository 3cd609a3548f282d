"""The training loop: flat, in order, no hooks."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
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
from ablate.study.choosing import is_better, is_score
from ablate.study.request import Compute
from ablate.training.feeds.trained_part import Feed, TrainedPart
from ablate.training.loop.active_phase import ActivePhase, OpenTrainedPart, open_phase
from ablate.training.loop.checkpoint import Checkpoint
from ablate.training.loop.held_to import held_to
from ablate.training.loop.step import TrainingSetup, autocast, train_batch
from ablate.training.loop.training_progress import Best, TrainingProgress
from ablate.training.tasks._base import Task

EmitEpoch = Callable[[int, int, dict[str, float]], None]
"""Takes (epoch, n_epochs, metrics of the epoch)."""
# Images at a time where memory is not short, see `_eval_batch`.
EVAL_BATCH = 64


@dataclass(frozen=True)
class Fit:
    """What training found; the network holds the weights of the best epoch."""

    best_epoch: int
    val_scores: dict[str, float]
    """`val/<metric>` at the best epoch."""
    val_predictions: NDArray[np.float32]
    """(N, C), of images, in the order of the split."""
    n_epochs: int
    """Epochs that ran; fewer than asked when patience ended."""
    n_steps: int
    train_s: float
    """Seconds in training steps, without evaluation."""
    trained_part: TrainedPart
    """That of the last phase."""


def fit(
    network: Network,
    setup: TrainingSetup,
    *,
    open_trained_part: OpenTrainedPart,
    emit: EmitEpoch,
    checkpoint: Checkpoint,
) -> Fit:
    """Train `network` phase by phase and leave it with the weights of the best epoch.

    The best is that of all phases by `setup.select_by` on val; a phase starts from the best
    weights so far. Goes on from `checkpoint`, where it has an epoch, and emits the epochs before it
    again. Raises TrialError where the loss stops being finite, naming the step, and where no epoch
    has a finite score to be chosen by.
    """
    recipe = setup.recipe
    phases = phases_of(recipe)
    # Before the checkpoint is put back: the start is where training began, not where it broke off.
    start = held_to(network, recipe, setup.source)
    kept = checkpoint.read()
    progress = TrainingProgress() if kept is None else kept.progress
    # Pruners and plots see a trial that goes on as one that never stopped.
    for epoch, metrics in enumerate(progress.history):
        emit(epoch, n_epochs(recipe), metrics)

    # From the phase that was broken off; those before it are in the weights.
    for number in range(progress.phase, len(phases)):
        active = open_phase(
            network, recipe, number, open_trained_part=open_trained_part, held_to=start
        )
        if number > progress.phase:
            progress.begin(number)
        elif kept is not None:
            # only the phase that was broken off; later ones begin from nothing
            kept.put_back(active)
        while not is_over(phases[number], progress):
            metrics = train_epoch(active, setup, progress)
            metrics |= judge(network, active, setup, progress)
            if len(phases) > 1:
                metrics |= {"phase": number, "frozen_units": active.network.boundary.depth}
            progress.history.append(metrics)
            progress.n_epochs += 1
            emit(progress.n_epochs - 1, n_epochs(recipe), metrics)
            # after the epoch was emitted: read back, it is emitted again
            checkpoint.save(progress, active)
        # the next phase, and the trial's result, begin with the best weights, not the last
        load_delta(network, best_of(progress, setup.select_by).state)
        # the last phase's part scores test
        if number + 1 < len(phases):
            active.trained_part.close()

    return _found(progress, setup.select_by, active.trained_part)


def _found(progress: TrainingProgress, select_by: str, trained_part: TrainedPart) -> Fit:
    """What the whole of training found."""
    best = best_of(progress, select_by)
    return Fit(
        best_epoch=best.epoch,
        val_scores=best.scores,
        val_predictions=best.predictions,
        n_epochs=progress.n_epochs,
        n_steps=progress.n_steps,
        train_s=progress.train_s,
        trained_part=trained_part,
    )


def best_of(progress: TrainingProgress, select_by: str) -> Best:
    """The best epoch so far. Raises TrialError where no epoch has a score that may choose."""
    if progress.best is None:
        raise no_score(select_by, progress.history[-1][select_by])
    return progress.best


def no_score(select_by: str, value: float) -> TrialError:
    """What is raised where nothing can choose."""
    return TrialError(
        f"{select_by} must be a finite number after some epoch, got {value:g} after every one; "
        "select by a score that the val images allow, or lower head_lr"
    )


def is_over(phase: Phase, progress: TrainingProgress) -> bool:
    """Whether the current phase has had its epochs, or its plateau.

    A plateau is so many of the phase's own epochs since the best one, of whatever phase.
    """
    if progress.n_epochs - progress.first_epoch >= phase.epochs:
        return True
    if phase.patience is None or progress.best is None:
        return False
    # the best one may lie in an earlier phase: waiting begins with this phase all the same
    last_before = progress.first_epoch - 1
    since_best = progress.n_epochs - 1 - max(progress.best.epoch, last_before)
    return since_best >= phase.patience


def train_epoch(
    active: ActivePhase, setup: TrainingSetup, progress: TrainingProgress
) -> dict[str, float]:
    """Train on every image once, and count the steps in `progress`.

    Returns what the epoch says of itself: `train/loss`, `lr/head`, ...
    """
    started = time.perf_counter()
    recipe = setup.recipe
    # Counted over all phases, so that no two epochs of a trial draw the same views.
    epoch = progress.n_epochs
    active.network.train()  # frozen units stay in eval: their BatchNorm statistics must not move
    losses = []
    norms = []
    head_lr = 0.0
    batches = active.trained_part.train.train(
        policy=setup.policy, seed=setup.seed, epoch=epoch, batch_size=recipe.batch_size
    )
    recorded = recorded_batches(active, setup, epoch=epoch)
    # not strict: where nothing was recorded, nothing comes without an end
    for (inputs, labels), kept in zip(batches, recorded, strict=False):
        head_lr = active.set_rates(progress.n_steps - progress.first_step)
        loss, norm = train_batch(active, setup, inputs, labels, kept)
        losses.append(loss)
        norms.append(norm)
        progress.n_steps += 1
    # The steps of this epoch were counted already; an error names the one that went wrong.
    first_step = progress.n_steps - len(losses)
    mean_loss = _mean_loss(losses, first_step=first_step, epoch=epoch)
    metrics = {"train/loss": mean_loss, "lr/head": head_lr}
    # only what the recipe asks for: a column of zeros would look like a measurement
    if recipe.clip_norm is not None:
        metrics["train/gradient_norm"] = float(torch.stack(norms).mean())
    if active.l2_sp is not None:
        metrics["train/l2_sp"] = active.l2_sp.penalty(active.network, weight=recipe.l2_sp)
    if active.transfer is not None:
        metrics |= active.transfer.pop_means(len(losses))
    progress.train_s += time.perf_counter() - started
    return metrics


def recorded_batches(
    active: ActivePhase, setup: TrainingSetup, *, epoch: int
) -> Iterator[Tensor | None]:
    """What was recorded of the images of each batch (B, K); None, endlessly, where nothing was."""
    transfer = active.transfer
    if transfer is None or transfer.recorded is None:
        return itertools.repeat(None)
    return active.trained_part.train.beside(
        transfer.recorded, seed=setup.seed, epoch=epoch, batch_size=setup.recipe.batch_size
    )


def judge(
    network: Network, active: ActivePhase, setup: TrainingSetup, progress: TrainingProgress
) -> dict[str, float]:
    """Score val, `val/<metric>`, with the averaged weights where there are some.

    Keeps predictions and weights in `progress` where they are the best so far.
    """
    trained_part = active.trained_part
    select_by = setup.select_by
    with _scored_weights(active):
        of_rows = predict(
            network,
            setup.task,
            trained_part.val,
            forward=trained_part.evaluate,
            compute=setup.compute,
            batch_size=_eval_batch(setup),
        )
        predictions = setup.tiles.predictions(of_rows)
        metrics = setup.task.evaluate(predictions, setup.tiles.labels(trained_part.val.labels))
        scores = as_val(metrics)
        if _is_best(progress.best, scores[select_by], select_by):
            # inside the context: the delta is that of the averaged weights
            progress.best = Best(progress.n_epochs, scores, predictions, delta(network))
    return scores


def as_val(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics by the keys that trackers have: `macro_f1` -> `val/macro_f1`."""
    scores = {}
    for name, value in metrics.items():
        scores[f"val/{name}"] = value
    return scores


def predict(
    network: Network,
    task: Task,
    feed: Feed,
    *,
    forward: Callable[[Tensor], Tensor],
    compute: Compute,
    batch_size: int = EVAL_BATCH,
) -> NDArray[np.float32]:
    """Return the predictions of a whole split, (N, C) float32, in the order of the split.

    Where images are cut into tiles, those are of tiles; see `TrainingSetup.tiles`.
    The network is left in eval mode.
    """
    network.eval()
    batches = []
    with torch.inference_mode(), autocast(compute):
        for inputs, _ in feed.evaluate(batch_size=batch_size):
            batches.append(task.predictions(forward, inputs))  # (B, C)
        # one copy from the device for the whole split
        return torch.cat(batches).cpu().numpy()


def _scored_weights(active: ActivePhase) -> AbstractContextManager[None]:
    """The averaged weights in place of the others, where the recipe asks for them."""
    if active.ema is None:
        return nullcontext()
    return active.ema.in_place()


def _is_best(best: Best | None, score: float, select_by: str) -> bool:
    # nan compares false with everything: as the best one it would never be replaced
    if not is_score(score):
        return False
    return best is None or is_better(select_by, score, than=best.scores[select_by])


def _eval_batch(setup: TrainingSetup) -> int:
    """Evaluation needs less memory per image, and shrinks in step where memory is short."""
    batch_size = setup.recipe.batch_size
    return max(1, EVAL_BATCH * min(setup.micro_batch, batch_size) // batch_size)


def _mean_loss(losses: list[Tensor], *, first_step: int, epoch: int) -> float:
    """Mean of the epoch's losses. Raises TrialError where one is not finite."""
    # read once an epoch, so that a GPU is not made to wait for every batch
    values = torch.stack(losses).cpu()
    bad = torch.nonzero(~torch.isfinite(values)).flatten()
    if len(bad):
        step = first_step + int(bad[0])
        raise TrialError(
            f"the loss must stay finite, got {values[bad[0]].item()} at step {step} "
            f"(epoch {epoch}); try a lower head_lr or lr_ratio, or precision: fp32"
        )
    return float(values.mean())
