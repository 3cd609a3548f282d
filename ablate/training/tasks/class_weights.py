"""Weights of the classes on the loss, as counted in the train images that a trial sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ablate.recipe.class_weight_rules import check_class_weights
from ablate.recipe.recipe import Recipe


def class_weights(
    recipe: Recipe, labels: NDArray[np.int64], *, class_names: Sequence[str]
) -> NDArray[np.floating] | None:
    """Return (C,), or None where all classes weigh alike.

    `labels` (N,), every class among them. Raises SpecError as `check_class_weights`.
    """
    n_classes = len(class_names)
    if recipe.class_weights == "none":
        return None
    if recipe.class_weights == "balanced":
        return balanced_class_weights(labels, n_classes=n_classes)
    if recipe.class_weights == "effective":
        counts = np.bincount(labels, minlength=n_classes)
        return effective_class_weights(counts, beta=recipe.effective_beta)
    return np.asarray(check_class_weights(recipe, class_names), dtype=np.float64)


def positive_weights(
    recipe: Recipe, labels: NDArray[np.int64], *, class_names: Sequence[str]
) -> NDArray[np.floating] | None:
    """Return what a yes weighs beside a no, (C,), or None where both weigh alike.

    For balanced that is images without the class / images with it, else as given. `labels` (N, C).
    """
    if recipe.class_weights == "none":
        return None
    if recipe.class_weights == "balanced":
        n_yes = labels.sum(axis=0)
        n_no = len(labels) - n_yes
        # A class that every image has would weigh 0, and its rare no have nothing to learn from.
        return np.asarray(np.maximum(n_no, 1 / len(labels)) / n_yes, dtype=np.float64)
    return np.asarray(check_class_weights(recipe, class_names), dtype=np.float64)


def balanced_class_weights(labels: NDArray[np.int64], *, n_classes: int) -> NDArray[np.float64]:
    """Return N / (n_classes * n_c) for each class (scikit-learn's "balanced"), (n_classes,).

    Every class must have an image.
    """
    counts = np.bincount(labels, minlength=n_classes)
    return np.asarray(len(labels) / (n_classes * counts), dtype=np.float64)


def effective_class_weights(counts: NDArray[np.integer], *, beta: float) -> NDArray[np.float64]:
    """Return (1 - beta) / (1 - beta^n_c) for counts n_c (C,), scaled to a mean of 1.

    One over the effective number of images (Cui et al., 2019).
    """
    weights = (1 - beta) / (1 - np.power(beta, counts.astype(np.float64)))
    return np.asarray(weights * len(counts) / weights.sum(), dtype=np.float64)


def log_shares(labels: NDArray[np.int64], *, n_classes: int) -> NDArray[np.float32]:
    """Return the log of each class's share of `labels`, (C,)."""
    shares = np.bincount(labels, minlength=n_classes) / len(labels)
    return np.log(shares).astype(np.float32)
