"""One pass of the pretrained network over clean images: what LwF and Co-Tuning go back to.

It is a pass that linear probes make, too, and is kept as theirs: the activations in front of the
head, by which weights, images, preprocessing and precision they are. So all arms, seeds and
strengths of a study share one, and a probe in the same grid has it already. LwF's paper records
the outputs before training; so each image has one output, that of its clean view, however it is
augmented later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.store import ImageStore
from ablate.model.linear_head import linear_head
from ablate.model.network import Network
from ablate.model.weights.source_classifier import SourceClassifier, load_source_classifier
from ablate.recipe.transfer import penalties_of, source_recipe, uses_source_classifier
from ablate.study.request import Compute, TrialRequest
from ablate.training.feeds.rows import CacheUse
from ablate.training.feeds.trained_part import (
    Feed,
    TrainedPart,
    open_trained_part,
    sharing_of,
    train_sampling,
)
from ablate.training.loop.fitted_heads import features
from ablate.training.loop.step import autocast
from ablate.training.transfer.co_tuning import LabelledLogits, category_relationship
from ablate.training.transfer.source_outputs import SourceOutputs

_LOG = logging.getLogger(__name__)
BuildNetwork = Callable[[TrialRequest, Compute], Network]
"""A request -> its network on its device."""


def record_source(
    request: TrialRequest,
    store: ImageStore,
    compute: Compute,
    *,
    build: BuildNetwork,
    use: CacheUse,
) -> SourceOutputs | None:
    """Return what a trial's recipe needs of the pretrained classifier; None where it needs nothing.

    Counts the pass in `use`, but for the views, which a plan counts by trials. Raises WeightsError.
    """
    recipe = request.trial.recipe
    if not uses_source_classifier(recipe):
        return None
    # first: weights without a classifier cost no pass
    classifier = load_source_classifier(recipe.backbone, recipe.weights)
    own_use = CacheUse(problems=use.problems)
    passing = _open_pass(_source_request(request), store, compute, build=build, use=own_use)
    try:
        train = _logits(passing, passing.part.train, classifier)
        outputs = SourceOutputs(classifier, train)
        if "co_tuning" in penalties_of(recipe):
            outputs = _with_relationship(outputs, passing, request, store)
    finally:
        passing.part.close()
    use.build_s += own_use.build_s
    use.saved_s += own_use.saved_s
    return outputs


@dataclass(frozen=True)
class _Pass:
    """The pretrained network, and the images that flow through it."""

    network: Network
    part: TrainedPart
    compute: Compute
    request: TrialRequest

    def features(self, feed: Feed) -> NDArray[np.float64]:
        """(N, D) of a whole split, clean."""
        recipe = self.request.trial.recipe
        head = linear_head(self.network.module, self.network.head_names, recipe)
        return features(self.network, head, self.part, feed, compute=self.compute)


def _source_request(request: TrialRequest) -> TrialRequest:
    trial = request.trial
    alone = trial.model_copy(update={"recipe": source_recipe(trial.recipe)})
    return request.model_copy(update={"trial": alone})


def _open_pass(
    request: TrialRequest,
    store: ImageStore,
    compute: Compute,
    *,
    build: BuildNetwork,
    use: CacheUse,
) -> _Pass:
    network = build(request, compute)
    sharing = None
    if request.cache is not None:
        sharing = sharing_of(request.cache)
    part = open_trained_part(
        network,
        store,
        recipe=request.trial.recipe,
        compute=compute,
        autocast=lambda: autocast(compute),
        sharing=sharing,
        seed=request.trial.seed,
        use=use,
        n_epochs=1,
    )
    return _Pass(network, part, compute, request)


def _logits(passing: _Pass, feed: Feed, classifier: SourceClassifier) -> Tensor:
    """(N, K) float32; computed in float64, since a product rounds by the size of its batch."""
    rows = torch.from_numpy(passing.features(feed))
    weight = classifier.weight.double()
    return (rows @ weight.T + classifier.bias.double()).float()


def _with_relationship(
    outputs: SourceOutputs, passing: _Pass, request: TrialRequest, store: ImageStore
) -> SourceOutputs:
    """With few shots the relationship is that of the images in use, and not of all of train."""
    rows = train_sampling(request.trial.recipe, store, seed=request.trial.seed).rows
    train = LabelledLogits(outputs.train[torch.from_numpy(rows)], store.split("train").labels[rows])
    val_logits = _logits(passing, passing.part.val, outputs.classifier)
    val = LabelledLogits(val_logits, store.split("val").labels)
    relationship, temperature = category_relationship(train, val, n_classes=len(store.class_names))
    _LOG.info(
        "co_tuning: source probabilities at temperature %.3g explain the labels of val best",
        temperature,
    )
    return SourceOutputs(outputs.classifier, outputs.train, relationship)
