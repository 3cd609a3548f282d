"""The facts of a finished trial, gathered from what made it: network, feeds and recipe."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.augment import clean
from ablate.data.store import ImageStore
from ablate.model.family import family_of
from ablate.model.merge import NOT_MERGEABLE, merge_adapters
from ablate.model.network import Network
from ablate.recipe.recipe import Recipe
from ablate.study.request import Compute
from ablate.study.trial_facts import Merge, MicroBatch, TrainImages, TrialFacts
from ablate.training.feeds.trained_part import TrainedPart
from ablate.training.loop.active_phase import phase_facts
from ablate.training.loop.step import TrainingSetup

N_MERGED = 8
"""Images of val on which the merged network is compared with the one that was trained."""


def trial_facts(
    network: Network,
    setup: TrainingSetup,
    trained_part: TrainedPart,
    *,
    n_train: int,
    class_weights: Tensor | None,
) -> TrialFacts:
    """Return all but what merging would show (`merge_of`).

    `trained_part` is that of the last phase, `n_train` is the size of the whole train split.
    """
    recipe = setup.recipe
    phases = phase_facts(network, recipe)
    # A single phase is the training itself, and says nothing that the other facts do not.
    if len(phases) == 1:
        phases = ()
    compute = setup.compute
    use = trained_part.use
    weights: tuple[float, ...] = ()
    if class_weights is not None:
        weights = tuple(class_weights.tolist())
    return TrialFacts(
        device=_device_name(compute),
        precision=compute.precision,
        is_depthwise_fp32=compute.is_depthwise_fp32,
        memory_layout=_memory_layout(compute),
        threads=compute.threads,
        torch=torch.__version__,
        weights_source=network.weights.source,
        weights_digest=network.weights.digest,
        # An empty digest means random weights: nobody knows of any content.
        weights_content=network.weights.content or None,
        family=family_of(network.module),
        freeze_depth=network.boundary.depth,
        n_units=network.boundary.n_units,
        units=tuple(unit.name for unit in network.units),
        pooling=network.pooling,
        adapter=recipe.adapter_kind,
        layers_without_adapter=tuple(network.skipped_targets),
        adapters_larger_than_their_layer=dict(network.oversized),
        prefix=tuple(use.cuts),
        views_computed=use.n_built,
        views_from_cache=use.n_reused,
        folded_norms=trained_part.folded_norms,
        cache_problems=tuple(use.problems),
        phases=phases,
        micro_batch=_micro_batch(recipe, setup.micro_batch),
        train_images=_train_images(
            recipe, setup.tiles.labels(trained_part.train.labels), n_train=n_train
        ),
        views=setup.policy,
        class_weights=weights,
    )


def merge_of(network: Network, recipe: Recipe, store: ImageStore) -> Merge | None:
    """Return how well the adapters merge into the base; None where there are none.

    Must be the last thing that is asked of a trial's network: it is merged in place, on the CPU.
    """
    kind = recipe.adapter_kind
    if kind == "none":
        return None
    if kind in NOT_MERGEABLE:
        return Merge(why_not=NOT_MERGEABLE[kind])
    # In fp32 on the CPU, so that the difference that is reported does not depend on the device.
    network.module.to("cpu")
    val = store.split("val")
    count = min(N_MERGED, len(val.labels))
    preprocessing = network.preprocessing
    squares = clean(val.images, range(count), image_size=preprocessing.image_size)
    difference = merge_adapters(network, preprocessing.normalised(squares))
    return Merge(difference=difference, n_images=count)


def _device_name(compute: Compute) -> str:
    # The card's name and not "cuda": scores of two cards may differ in their last digits.
    if compute.device == "cuda":
        return torch.cuda.get_device_name()
    return "cpu"


def _memory_layout(compute: Compute) -> str:
    return "channels_last" if compute.channels_last else "contiguous"


def _micro_batch(recipe: Recipe, size: int) -> MicroBatch:
    if size >= recipe.batch_size:
        # What the recipe asks for may be larger than a batch; it then holds whole batches.
        return MicroBatch(
            size=recipe.batch_size, batch_size=recipe.batch_size, reason="whole batches"
        )
    # Summed gradients equal those of the whole batch; batch statistics do not.
    n_seen_by_norms = None
    # "frozen" and "affine" keep the statistics, so that no BatchNorm sees how a batch is divided.
    if recipe.batch_norm not in ("frozen", "affine"):
        n_seen_by_norms = size
    reason: Literal["as asked", "memory"] = "memory"
    if size == recipe.micro_batch:
        reason = "as asked"
    return MicroBatch(
        size=size, batch_size=recipe.batch_size, reason=reason, n_seen_by_norms=n_seen_by_norms
    )


def _train_images(recipe: Recipe, labels: NDArray[np.int64], *, n_train: int) -> TrainImages:
    """`labels` of the images in use, (N,) or (N, C)."""
    n_short = 0
    if recipe.shots is not None:
        # Classes that have fewer images than shots are used whole, and the report says how many
        # there are.
        n_short = int((np.bincount(labels) < recipe.shots).sum())
    return TrainImages(
        n_used=len(labels),
        n_all=n_train,
        shots=recipe.shots,
        n_short_classes=n_short,
    )
