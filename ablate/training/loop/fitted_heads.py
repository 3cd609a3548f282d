"""Classifiers that are fitted at once on the clean features of the frozen trunk.

For the price of one forward pass; scikit-learn does the fitting. Logistic regression and ridge
become the weights of the linear head, so that a trial is stored and served as any other. Nearest
neighbours keep no weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ablate.model.linear_head import linear_head
from ablate.model.network import Network
from ablate.recipe.recipe import Recipe
from ablate.study.choosing import is_score
from ablate.study.request import Compute
from ablate.training.feeds.trained_part import Feed, TrainedPart
from ablate.training.loop.fit import EVAL_BATCH, EmitEpoch, Fit, as_val, no_score, predict
from ablate.training.loop.step import TrainingSetup, autocast

# A feed -> predictions (N, C); of tiles, where images are cut into such.
Predict = Callable[[Feed], NDArray[np.float32]]


@dataclass(frozen=True)
class Features:
    """Inputs of the last linear layer, in the order of a feed."""

    train: NDArray[np.float64]
    """(N, D)."""
    labels: NDArray[np.int64]
    """(N,)."""
    mean: NDArray[np.float64]
    """(D,) of train."""
    scale: float
    """Root of the mean variance over the features of train: one number, so that features keep their
    weight against one another."""

    def standard(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values (N, D), centred and scaled by train."""
        return np.asarray((values - self.mean) / self.scale, dtype=np.float64)


def fit_classifier(
    network: Network,
    setup: TrainingSetup,
    trained_part: TrainedPart,
    *,
    weights: Tensor | None,
    emit: EmitEpoch,
) -> tuple[Fit, Predict]:
    """Fit `recipe.classifier`; return what was found, as one epoch, and what predicts a feed.

    `weights` (C,) are those of the classes, or None. Deterministic: the same images give the same
    classifier for every seed. Raises TrialError without a finite score, SpecError where the head is
    not one linear layer, as a plan does.
    """
    started = time.perf_counter()
    predict_feed = _fitted(network, setup, trained_part, weights)
    # Fitting first, then val: `train_s` has no evaluation in it, as in a trial that trains.
    train_s = time.perf_counter() - started

    predictions = setup.tiles.predictions(predict_feed(trained_part.val))
    labels = setup.tiles.labels(trained_part.val.labels)
    scores = as_val(setup.task.evaluate(predictions, labels))
    # One epoch of one, so that trackers and reports know no other kind of trial.
    emit(0, 1, scores)
    if not is_score(scores[setup.select_by]):
        raise no_score(setup.select_by, scores[setup.select_by])
    result = Fit(
        best_epoch=0,
        val_scores=scores,
        val_predictions=predictions,
        n_epochs=1,
        n_steps=0,
        train_s=train_s,
        trained_part=trained_part,
    )
    return result, predict_feed


def _fitted(
    network: Network, setup: TrainingSetup, trained_part: TrainedPart, weights: Tensor | None
) -> Predict:
    """Fit the classifier on the features of train; return what predicts a feed."""
    recipe = setup.recipe
    compute = setup.compute
    head = linear_head(network.module, network.head_names, recipe)
    # The head's inputs, in float64: scikit-learn fits in it, and the folding below is exact enough.
    features_of = partial(features, network, head, trained_part, compute=compute)
    known = known_features(features_of(trained_part.train), trained_part.train.labels)
    # scikit-learn takes class weights by label
    by_class = None
    if weights is not None:
        by_class = dict(enumerate(weights.double().tolist()))
    if recipe.classifier == "knn":
        # No weights to put into the head: this closure is what predicts, as long as it lives.
        votes_of = _fit_neighbours(known, recipe, n_classes=head.out_features)

        def predict_feed(feed: Feed) -> NDArray[np.float32]:
            return votes_of(features_of(feed))

        return predict_feed
    # From here on the network predicts as if its head had been trained.
    _fit_linear(head, known, recipe, by_class)
    return partial(predict, network, setup.task, forward=trained_part.evaluate, compute=compute)


def known_features(train: NDArray[np.float64], labels: NDArray[np.int64]) -> Features:
    """Train features (N, D) with their mean and scale; a scale of 1 where nothing varies."""
    # or 1: a trunk that gives the same features for all images has no variance to divide by
    scale = float(np.sqrt(train.var(axis=0).mean())) or 1.0
    return Features(train, labels, train.mean(axis=0), scale)


def features(
    network: Network, head: nn.Linear, trained_part: TrainedPart, feed: Feed, *, compute: Compute
) -> NDArray[np.float64]:
    """What goes into the head for a whole feed, clean: (N, D)."""
    batches: list[Tensor] = []
    # what goes into the head is what timm calls pre_logits
    handle = head.register_forward_pre_hook(
        lambda _module, inputs: batches.append(inputs[0].detach().float().cpu())  # (B, D)
    )
    network.module.eval()
    try:
        with torch.inference_mode(), autocast(compute):
            for inputs, _ in feed.evaluate(batch_size=EVAL_BATCH):
                trained_part.evaluate(inputs)
    finally:
        # always: a hook that stayed would keep the features of every later pass
        handle.remove()
    return np.asarray(torch.cat(batches).double().numpy())


def _fit_linear(
    head: nn.Linear, known: Features, recipe: Recipe, by_class: dict[int, float] | None
) -> None:
    """Fit on standard features and fold their mean and scale into the head's weights."""
    model = _linear_model(recipe, by_class)
    model.fit(known.standard(known.train), known.labels)
    rows = np.atleast_2d(model.coef_)  # (C, D)
    offsets = np.atleast_1d(model.intercept_)  # (C,)
    # of two classes scikit-learn fits one row of logits, the other's are 0
    if len(rows) == 1:
        rows = np.concatenate([np.zeros_like(rows), rows])
        offsets = np.concatenate([np.zeros_like(offsets), offsets])
    # w . (x - mean) / scale + b = (w / scale) . x + (b - (w / scale) . mean)
    rows = rows / known.scale
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(rows))
        head.bias.copy_(torch.from_numpy(offsets - rows @ known.mean))


def _linear_model(recipe: Recipe, by_class: dict[int, float] | None) -> Any:
    from sklearn.linear_model import LogisticRegression, RidgeClassifier

    if recipe.classifier == "logistic":
        # scikit-learn's C is the inverse of the penalty
        return LogisticRegression(C=1 / recipe.classifier_l2, class_weight=by_class, max_iter=1000)
    return RidgeClassifier(alpha=recipe.classifier_l2, class_weight=by_class)


def _fit_neighbours(
    known: Features, recipe: Recipe, *, n_classes: int
) -> Callable[[NDArray[np.float64]], NDArray[np.float32]]:
    """Features (N, D) -> shares of the neighbours' votes (N, C)."""
    from sklearn.neighbors import KNeighborsClassifier

    # few-shot trials may have fewer images than neighbours were asked for
    n_neighbours = min(recipe.neighbours, len(known.labels))
    model = KNeighborsClassifier(n_neighbours, weights="distance", metric="cosine")
    model.fit(known.train, known.labels)

    def votes_of(values: NDArray[np.float64]) -> NDArray[np.float32]:
        # classes without a train image get no vote, and scikit-learn no column for them
        votes = np.zeros((len(values), n_classes), dtype=np.float32)
        votes[:, model.classes_] = model.predict_proba(values)
        return votes

    return votes_of
