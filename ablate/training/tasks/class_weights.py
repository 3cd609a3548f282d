"""Weights of the classes on the loss, and the classes' shares, as counted in the train images that a trial sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.recipe.class_weight_rules import check_class_weights
from ablate.recipe.recipe import Recipe


def class_weights(
    recipe: Recipe, labels: NDArray[np.int64], *, class_names: Sequence[str]
) -> Tensor | None:
    """Return (C,) float32, or None where all classes weigh alike. `labels` (N,), every class among them, or (N, C). Raises SpecError as `check_class_weights`.

    Where images have several labels the weights are those of the positives.
    """
    asked, n_classes = recipe.class_weights, len(class_names)
    if asked == "none":
        return None
    if labels.ndim == 2:
        return positive_weights(recipe, labels, class_names=class_names)
    counts = np.bincount(labels, minlength=n_classes)
    if asked == "balanced":
        return balanced_class_weights(labels, n_classes=n_classes)
    if asked == "effective":
        return torch.from_numpy(
            effective_class_weights(counts, beta=recipe.effective_beta).astype(np.float32)
        )
    return torch.tensor(check_class_weights(recipe, class_names), dtype=torch.float32)


def positive_weights(
    recipe: Recipe, labels: NDArray[np.int64], *, class_names: Sequence[str]
) -> Tensor:
    """Return what a yes weighs beside a no, (C,) float32: for balanced images without the class / images with it, else as given. `labels` (N, C).

    A class that every image has would weigh 0, and its rare no nothing to learn from: it weighs at least 1 / N.
    """
    if recipe.class_weights == "balanced":
        n_yes = labels.sum(axis=0)
        return torch.from_numpy(
            (np.maximum(len(labels) - n_yes, 1 / len(labels)) / n_yes).astype(np.float32)
        )
    return torch.tensor(check_class_weights(recipe, class_names), dtype=torch.float32)


def balanced_class_weights(labels: NDArray[np.int64], *, n_classes: int) -> Tensor:
    """Return N / (n_classes * n_c) for each class (scikit-learn's "balanced"), shape (n_classes,) float32. Every class must have an image."""
    counts = np.bincount(labels, minlength=n_classes)
    return torch.from_numpy((len(labels) / (n_classes * counts)).astype(np.float32))


def effective_class_weights(counts: NDArray[np.integer], *, beta: float) -> NDArray[np.float64]:
    """Return (1 - beta) / (1 - beta^n_c) for counts n_c (C,), scaled to a mean of 1: one over the effective number of images (Cui et al., 2019)."""
    weights = (1 - beta) / (1 - np.power(beta, counts.astype(np.float64)))
    return np.asarray(weights * len(counts) / weights.sum(), dtype=np.float64)


def log_shares(labels: NDArray[np.int64], *, n_classes: int) -> Tensor:
    """Return the log of each class's share of `labels`, (C,) float32."""
    return torch.from_numpy(
        np.log(np.bincount(labels, minlength=n_classes) / len(labels)).astype(np.float32)
    )
