"""One trial: a request in, an outcome out, its files in its folder.

Knows neither Optuna nor MLflow.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ablate.data.store import ImageStore
from ablate.errors import CheckFailed, TrialError
from ablate.model.kept_probe import keep_probe, probe_key, take_probe
from ablate.model.network import Network, build_network
from ablate.model.single_image_norm import is_about_one_image
from ablate.recipe.one_image import one_image_mistake
from ablate.recipe.policy import policy_word
from ablate.study.request import Compute, TrialRequest
from ablate.tracking.events import TrialOutcome
from ablate.training.feeds.rows import CacheUse
from ablate.training.feeds.trained_part import (
    TrainedPart,
    open_trained_part,
    sharing_of,
    train_sampling,
)
from ablate.training.gather_facts import merge_of, trial_facts
from ablate.training.inference_cost import inference_cost
from ablate.training.loop.checkpoint import Checkpoint
from ablate.training.loop.fit import EmitEpoch, Fit, fit, predict
from ablate.training.loop.fitted_heads import fit_classifier
from ablate.training.loop.folding import fold
from ablate.training.loop.step import TrainingSetup, autocast
from ablate.training.machine import memory
from ablate.training.machine.depthwise import detour_depthwise_backward
from ablate.training.request_images import images_of
from ablate.training.tasks import TrainTargets, make_task
from ablate.training.transfer.record_source import record_source
from ablate.training.trial_files import FILES, store_delta, store_description, store_predictions

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Trained:
    """A network that has been trained, and what it says of test."""

    fit: Fit
    test_predictions: NDArray[np.float32]
    """(N, ...) in the order of the split."""


@dataclass(frozen=True)
class _Phases:
    """What opens the trained part of each phase: the freeze boundary may move between them."""

    request: TrialRequest
    store: ImageStore
    compute: Compute
    use: CacheUse
    """One for all phases."""

    def open(self, network: Network, n_epochs: int) -> TrainedPart:
        """See `loop.fit.OpenTrainedPart`."""
        sharing = None
        if self.request.cache is not None:
            sharing = sharing_of(self.request.cache)
        trained_part = open_trained_part(
            network,
            self.store,
            recipe=self.request.trial.recipe,
            compute=self.compute,
            autocast=lambda: autocast(self.compute),
            sharing=sharing,
            seed=self.request.trial.seed,
            use=self.use,
            n_epochs=n_epochs,
        )
        return fold(network, trained_part)


def run_trial(request: TrialRequest, emit: EmitEpoch) -> TrialOutcome:
    """Train, select the best epoch on val, score test once.

    Leaves predictions, delta weights and the trial's own description in `request.folder`. Where
    memory does not hold a batch, the trial starts again with half as many images in the network at
    a time and the same batch size. Raises TrialError (a loss that is not finite, memory too short
    for a single image) and whatever torch raises; the executor turns either into a failed trial.
    """
    recipe = request.trial.recipe
    most = min(recipe.batch_size, recipe.micro_batch or recipe.batch_size)
    for micro_batch in memory.halvings(most):
        try:
            return _run(request, emit, micro_batch=micro_batch)
        except ValueError as error:
            if not is_about_one_image(error):
                raise
            raise TrialError(one_image_mistake(recipe)) from error
        except (MemoryError, RuntimeError) as error:
            if not memory.is_short(error):
                raise
            what = str(error).partition("\n")[0]
        # Outside the `except`: the traceback would hold every tensor of the broken try.
        _LOG.warning(
            "memory does not hold %d images at a time (%s); "
            "the trial starts again with half as many",
            micro_batch,
            what,
        )
        memory.free(request.compute.device)
    raise TrialError(
        f"memory must hold one image of the trial's network at least, it does not: {what}; "
        "take a smaller backbone or image_size"
    )


def _run(request: TrialRequest, emit: EmitEpoch, *, micro_batch: int) -> TrialOutcome:
    started = time.perf_counter()
    trial = request.trial
    compute = request.compute.of(trial.recipe)
    torch.set_num_threads(compute.threads)
    memory.reset_peak(compute.device)

    store = images_of(request)
    key = _probe_key(request, compute)
    network = _network_for(request, store, compute, key=key)
    setup = _setup_for(request, store, compute, micro_batch=micro_batch)
    phases = _Phases(request, store, compute, CacheUse())
    source = record_source(request, store, compute, build=_build, use=phases.use)
    setup = replace(setup, source=source)
    with _seeded(trial.seed, compute):
        trained = _train(network, setup, phases, emit=emit)
    trained_part = trained.fit.trained_part

    scores = dict(trained.fit.val_scores)
    of_test = setup.task.evaluate(trained.test_predictions, trained_part.test.labels)
    scores |= {f"test/{name}": value for name, value in of_test.items()}

    folder = request.folder
    outputs = {"val": trained.fit.val_predictions, "test": trained.test_predictions}
    store_predictions(folder, outputs, store, task=trial.task)
    delta_mb = store_delta(folder, network)
    costs = _costs(network, trained.fit, compute)
    costs |= {"cost/delta_mb": delta_mb, "time/total_s": time.perf_counter() - started}
    inference = inference_cost(network, compute).metrics
    facts = trial_facts(
        network,
        setup,
        trained_part,
        n_train=len(store.split("train").labels),
        class_weights=setup.task.class_weights,
    )
    # Last of all: where adapters merge, the network is merged in place, on the CPU.
    merge = merge_of(network, trial.recipe, store)
    facts = facts.model_copy(update={"adapter_merge": merge})
    store_description(folder, trial, network=network, class_names=store.class_names, facts=facts)
    trained_part.close()
    keep_probe(key, network)
    return TrialOutcome(
        best_epoch=trained.fit.best_epoch,
        metrics={**scores, **costs, **inference},
        facts=facts,
        files=FILES,
    )


def _probe_key(request: TrialRequest, compute: Compute) -> Hashable | None:
    """What the network has to be for another probe to take it over; None where none may."""
    trial = request.trial
    return probe_key(
        trial.recipe,
        n_classes=request.n_classes,
        image_size=trial.shown.image_size,
        # with the part of an image that is seen, which the network's preprocessing holds
        compute=(compute, trial.shown),
    )


def _network_for(
    request: TrialRequest, store: ImageStore, compute: Compute, *, key: Hashable | None
) -> Network:
    """The trial's network on its device. Raises CheckFailed, TrialError."""
    trial = request.trial
    network = take_probe(key, seed=trial.seed)
    if network is None:
        network = _build(request, compute)
    _check_weights(network, request)
    side = network.preprocessing.store_side
    if store.side != side:
        raise CheckFailed(
            f"the image store must have side {side} for {trial.recipe.backbone}, got {store.side}"
        )
    return network


def _build(request: TrialRequest, compute: Compute) -> Network:
    trial = request.trial
    network = build_network(
        trial.recipe,
        n_classes=request.n_classes,
        image_size=trial.shown.image_size,
        seed=trial.seed,
    )
    network = replace(network, preprocessing=network.preprocessing.as_shown(trial.shown))
    network.module.to(compute.device)
    if compute.channels_last:
        network.module.to(memory_format=torch.channels_last)
    # Only where the machine was measured to be slow at it: see `machine.depthwise`.
    if compute.is_depthwise_fp32 and compute.precision == "bf16":
        detour_depthwise_backward(network.module)
    return network


def _check_weights(network: Network, request: TrialRequest) -> None:
    """Weights that are replaced while a study runs would have it compare two networks.

    Raises TrialError.
    """
    expected = request.weights
    if expected is not None and not network.weights.is_same(expected):
        raise TrialError(
            f"weights must stay what the study began with ({expected}), "
            f"now it is {network.weights}; put the former weights back and run the same command "
            "again, or give the new ones a path of their own"
        )


def _setup_for(
    request: TrialRequest, store: ImageStore, compute: Compute, *, micro_batch: int
) -> TrainingSetup:
    trial = request.trial
    # Class weights are counted in the images that this trial sees: with few shots not all of train.
    sampling = train_sampling(trial.recipe, store, seed=trial.seed)
    in_use = TrainTargets(store.targets("train").take(sampling.rows), store.class_names)
    return TrainingSetup(
        trial.recipe,
        make_task(trial.task, trial.recipe, in_use, device=compute.device),
        compute,
        trial.seed,
        trial.select_by,
        micro_batch,
        policy_word(trial.recipe, source=trial.data.source),
    )


@contextmanager
def _seeded(seed: int, compute: Compute) -> Iterator[None]:
    """torch's global generator, seeded while the block runs: dropout and drop-path draw from it."""
    gpus: list[int] = []
    if compute.device == "cuda":
        gpus = list(range(torch.cuda.device_count()))
    # A worker lives through many trials: none may leave its seed to the next.
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seed)
        yield


def _train(network: Network, setup: TrainingSetup, phases: _Phases, *, emit: EmitEpoch) -> _Trained:
    task = setup.task
    if setup.recipe.classifier != "linear":
        result, predicted = fit_classifier(
            network, setup, phases.open(network, 1), weights=task.class_weights, emit=emit
        )
        return _Trained(result, predicted(result.trained_part.test))
    checkpoint = _checkpoint(phases.request, setup, network)
    result = fit(network, setup, open_trained_part=phases.open, emit=emit, checkpoint=checkpoint)
    trained_part = result.trained_part
    test_predictions = predict(
        network,
        task,
        trained_part.test,
        forward=trained_part.evaluate,
        compute=setup.compute,
    )
    return _Trained(result, test_predictions)


def _checkpoint(request: TrialRequest, setup: TrainingSetup, network: Network) -> Checkpoint:
    """The trial's checkpoint, for whoever computes exactly as this attempt does."""
    identity = {
        "trial_id": request.trial.trial_id,
        "compute": setup.compute.model_dump(mode="json"),
        "micro_batch": setup.micro_batch,
        "is_shared": request.cache is not None,
        "weights": network.weights.content or network.weights.digest,
    }
    # Only where it learns: what was kept before there was such a thing stays readable.
    if setup.source is not None:
        identity["source_classifier"] = setup.source.classifier.digest
    spec = request.checkpoint
    if spec is None:
        return Checkpoint(None, identity=identity, every_s=0.0)
    return Checkpoint(spec.folder, identity=identity, every_s=spec.every_s)


def _costs(network: Network, trained: Fit, compute: Compute) -> dict[str, float]:
    use = trained.trained_part.use
    return {
        "n_epochs": trained.n_epochs,
        "n_steps": trained.n_steps,
        "cost/n_parameters": network.n_parameters,
        "cost/n_trainable": network.n_trainable,
        "cost/n_frozen_units": network.boundary.depth,
        "cost/peak_memory_mb": memory.peak_mb(compute.device),
        "time/train_s": trained.train_s,
        "time/prefix_s": use.build_s,
        "time/saved_s": use.saved_s,
    }
