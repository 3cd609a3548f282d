"""One trial: a request in, an outcome out, its files in its folder. Knows neither Optuna nor MLflow."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from ablate.checksum import digest_of_file
from ablate.data.store import open_store
from ablate.errors import CheckFailed, TrialError
from ablate.model.delta import delta
from ablate.model.network import Network, build_network
from ablate.model.single_image_norm import is_about_one_image
from ablate.recipe.one_image import one_image_mistake
from ablate.recipe.policy import policy_word
from ablate.schema_version import KEY, SCHEMA_VERSION
from ablate.study.request import Compute, TrialRequest
from ablate.study.trial import Trial
from ablate.study.trial_facts import TrialFacts, store_facts
from ablate.targets.codecs import SplitPredictions
from ablate.tracking.artifacts import write_predictions
from ablate.tracking.events import TrialOutcome
from ablate.training.feeds.activations import CacheUse
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
from ablate.training.serving.export import DELTA, SHA256, TRIAL
from ablate.training.tasks import TrainTargets, make_task

PREDICTIONS = "predictions.parquet"
_LOG = logging.getLogger(__name__)


def run_trial(request: TrialRequest, emit: EmitEpoch) -> TrialOutcome:
    """Train, select the best epoch on val, score test once, and leave predictions, delta weights and the trial's own description in `request.folder`.

    Where memory does not hold a batch, the trial starts again with half as many images in the network at a time and the same batch size. Raises TrialError
    (a loss that is not finite, memory too short for a single image) and whatever torch raises; the executor turns either into a failed trial.
    """
    recipe = request.trial.recipe
    for micro_batch in memory.halvings(
        min(recipe.batch_size, recipe.micro_batch or recipe.batch_size)
    ):
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
        _LOG.warning(
            "memory does not hold %d images at a time (%s); the trial starts again with half as many",
            micro_batch,
            what,
        )
        memory.free(request.compute.device)
    raise TrialError(
        f"memory must hold one image of the trial's network at least, it does not: {what}; take a smaller backbone or image_size"
    )


def _run(request: TrialRequest, emit: EmitEpoch, *, micro_batch: int) -> TrialOutcome:
    started = time.perf_counter()
    trial, recipe = request.trial, request.trial.recipe
    compute = request.compute.of(recipe)
    torch.set_num_threads(compute.threads)
    memory.reset_peak(compute.device)

    store = open_store(request.store_path)
    network = build_network(
        recipe, n_classes=request.n_classes, image_size=trial.data.image_size, seed=trial.seed
    )
    _check_weights(network, request)
    if store.side != network.preprocessing.store_side:
        raise CheckFailed(
            f"the image store must have side {network.preprocessing.store_side} for {recipe.backbone}, got {store.side}"
        )
    network.module.to(compute.device)
    if compute.channels_last:
        network.module.to(memory_format=torch.channels_last)
    if compute.is_depthwise_fp32 and compute.precision == "bf16":
        detour_depthwise_backward(network.module)
    sharing = None if request.cache is None else sharing_of(request.cache)
    use = CacheUse()

    def open_phase(now: Network, n_epochs: int) -> TrainedPart:
        opened = open_trained_part(
            now,
            store,
            recipe=recipe,
            compute=compute,
            autocast=lambda: autocast(compute),
            sharing=sharing,
            seed=trial.seed,
            use=use,
            n_epochs=n_epochs,
        )
        return fold(now, opened)

    sampling, policy = (
        train_sampling(recipe, store, seed=trial.seed),
        policy_word(recipe, source=trial.data.source),
    )
    in_use = TrainTargets(store.targets("train").take(sampling.rows), store.class_names)
    task = make_task(trial.task, recipe, in_use, device=compute.device)
    setup = TrainingSetup(recipe, task, compute, trial.seed, trial.select_by, micro_batch, policy)

    with torch.random.fork_rng(
        devices=range(torch.cuda.device_count()) if compute.device == "cuda" else []
    ):
        torch.manual_seed(trial.seed)  # dropout and drop-path, where a backbone has them
        if recipe.classifier == "linear":
            checkpoint = _checkpoint(request, compute, network, micro_batch=micro_batch)
            found = fit(
                network, setup, open_trained_part=open_phase, emit=emit, checkpoint=checkpoint
            )
            test_predictions = predict(
                network,
                task,
                found.trained_part.test,
                forward=found.trained_part.evaluate,
                compute=compute,
            )
        else:
            found, predicted = fit_classifier(
                network, setup, open_phase(network, 1), weights=task.class_weights, emit=emit
            )
            test_predictions = predicted(found.trained_part.test)
    trained_part = found.trained_part
    test_scores = {
        f"test/{name}": value
        for name, value in task.evaluate(test_predictions, trained_part.test.labels).items()
    }

    outputs = {"val": found.val_predictions, "test": test_predictions}
    predictions = {
        name: SplitPredictions(store.split(name).image_ids, store.targets(name), array)
        for name, array in outputs.items()
    }
    write_predictions(request.folder / PREDICTIONS, predictions, task=trial.task)
    _write_delta(network, request.folder / DELTA)
    costs = _costs(
        network, found, trained_part.use, folder=request.folder, compute=compute, started=started
    )
    inference = inference_cost(network, compute).metrics
    facts = trial_facts(
        network,
        setup,
        trained_part,
        n_train=len(store.split("train").labels),
        class_weights=task.class_weights,
    )
    # Last of all: where adapters merge, the network is merged in place, on the CPU.
    merge = merge_of(network, recipe, store)
    facts = facts.model_copy(update={"adapter_merge": merge})
    _write_description(
        request.folder / TRIAL, trial, network=network, class_names=store.class_names, facts=facts
    )
    return TrialOutcome(
        best_epoch=found.best_epoch,
        metrics={**found.val_scores, **test_scores, **costs, **inference},
        facts=facts,
        files=(PREDICTIONS, DELTA, TRIAL),
    )


def _check_weights(network: Network, request: TrialRequest) -> None:
    """Whoever replaces weights while a study runs would have it compare two networks. Raises TrialError."""
    expected = request.weights
    if expected is not None and not network.weights.is_same(expected):
        raise TrialError(
            f"weights must stay what the study began with ({expected}), now it is {network.weights}; put the former weights back and run the same "
            "command again, or give the new ones a path of their own"
        )


def _checkpoint(
    request: TrialRequest, compute: Compute, network: Network, *, micro_batch: int
) -> Checkpoint:
    """The trial's checkpoint, for whoever computes exactly as this attempt does."""
    identity = {
        "trial_id": request.trial.trial_id,
        "compute": compute.model_dump(mode="json"),
        "micro_batch": micro_batch,
        "is_shared": request.cache is not None,
        "weights": network.weights.content or network.weights.digest,
    }
    spec = request.checkpoint
    return Checkpoint(
        None if spec is None else spec.folder,
        identity=identity,
        every_s=0.0 if spec is None else spec.every_s,
    )


def _costs(
    network: Network, found: Fit, use: CacheUse, *, folder: Path, compute: Compute, started: float
) -> dict[str, float]:
    return {
        "n_epochs": found.n_epochs,
        "n_steps": found.n_steps,
        "cost/n_parameters": network.n_parameters,
        "cost/n_trainable": network.n_trainable,
        "cost/n_frozen_units": network.boundary.depth,
        "cost/delta_mb": (folder / DELTA).stat().st_size / 1e6,
        "cost/peak_memory_mb": memory.peak_mb(compute.device),
        "time/train_s": found.train_s,
        "time/prefix_s": use.build_s,
        "time/saved_s": use.saved_s,
        "time/total_s": time.perf_counter() - started,
    }


def _write_delta(network: Network, path: Path) -> None:
    """Only what was trained, or may have moved: backbone + delta rebuilds the network."""
    save_file(delta(network), path)


def _write_description(
    path: Path, trial: Trial, *, network: Network, class_names: Sequence[str], facts: TrialFacts
) -> None:
    preprocessing = network.preprocessing
    described = {
        KEY: SCHEMA_VERSION,
        "trial_id": trial.trial_id,
        "arm_id": trial.arm_id,
        "trial": trial.model_dump(mode="json"),
        "class_names": list(class_names),
        "preprocessing": {
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "image_size": preprocessing.image_size,
            "crop_pct": preprocessing.crop_pct,
            "interpolation": preprocessing.interpolation,
        },
        "pooling": network.pooling,
        "facts": store_facts(facts),
        SHA256: {DELTA: digest_of_file(path.with_name(DELTA))},
    }
    path.write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")
