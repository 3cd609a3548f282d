"""Test images that come in groups, and how often intervals over them hold the truth.

`scripts/simulate_groups.py` makes the table of docs/statistics.md of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ablate.metrics.classification import confusion, rank, resampled_macro_f1
from ablate.metrics.group_resampling import (
    group_resampled_area,
    group_resampled_macro_f1,
    group_weights,
)
from ablate.metrics.resampling import image_weights, resampled_area
from ablate.targets import OneLabel

N_CLASSES = 3
N_DRAWS = 200
N_OF_POPULATION = 20_000
"""Groups of which the truth is taken."""
Outputs = list[NDArray[np.float64]]


def groups_of_images(
    rng: np.random.Generator, n_groups: int, *, is_pure: bool
) -> tuple[Outputs, NDArray[np.int64], NDArray[np.int64]]:
    """Outputs (N, C) of two models, labels (N,) and groups (N,).

    A group has 2 to 20 images, of one class or of several. What it does to both models, and to
    each of them, has an SD of 0.7 in units of the noise of a single image.
    """
    group_of = np.repeat(np.arange(n_groups), rng.integers(2, 21, n_groups))
    n_images = len(group_of)
    labels = rng.integers(N_CLASSES, size=n_groups)[group_of]
    if not is_pure:
        mixed = rng.dirichlet(np.full(N_CLASSES, 2.0), n_groups).cumsum(axis=1)[group_of]
        above = rng.random((n_images, 1)) > mixed
        labels = np.minimum(above.sum(axis=1), N_CLASSES - 1)
    shared = 0.7 * rng.normal(size=(n_groups, N_CLASSES))[group_of]
    outputs = []
    for gain in (1.8, 2.2):
        own = 0.7 * rng.normal(size=(n_groups, N_CLASSES))[group_of]
        logits = gain * np.eye(N_CLASSES)[labels] + shared + own
        logits += rng.normal(size=(n_images, N_CLASSES))
        exp = np.exp(logits)
        outputs.append(exp / exp.sum(axis=1, keepdims=True))
    return outputs, labels, group_of


def scores(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Macro F1 and AUROC."""
    matrix = confusion(labels, probabilities.argmax(axis=1), N_CLASSES)
    support = matrix.sum(axis=1)
    present = support > 0
    f1 = 2 * matrix.diagonal() / np.maximum(matrix.sum(axis=0) + support, 1)
    return np.array([f1[present].mean(), np.nanmean(rank(probabilities, labels).area)])


def gap_draws(
    outputs: Outputs, labels: NDArray[np.int64], group_of: NDArray[np.int64], *, seed: int
) -> NDArray[np.float64]:
    """(way, metric, draws) gaps of the models: groups resampled, and images resampled."""
    by_group = group_weights(group_of, n_draws=N_DRAWS, seed=seed)
    by_image = image_weights(OneLabel(labels, N_CLASSES), n_draws=N_DRAWS, seed=seed)
    drawn = []
    for probabilities in outputs:
        predicted = probabilities.argmax(axis=1)
        ranking = rank(probabilities, labels)
        of_groups = [
            group_resampled_macro_f1(predicted, labels, by_group, group_of),
            group_resampled_area(ranking, by_group, group_of),
        ]
        of_images = [
            resampled_macro_f1(predicted, labels, by_image),
            resampled_area(ranking, by_image),
        ]
        drawn.append([of_groups, of_images])
    first, second = np.array(drawn)
    return np.asarray(second - first)


def coverage(n_groups: int, *, is_pure: bool, n_studies: int) -> NDArray[np.float64]:
    """(way, metric) share of test sets whose interval holds the gap of the population."""
    rng = np.random.default_rng(n_groups)
    population, labels, _ = groups_of_images(rng, N_OF_POPULATION, is_pure=is_pure)
    truth = scores(population[1], labels) - scores(population[0], labels)
    covered = np.zeros((2, 2))
    for study in range(n_studies):
        outputs, labels, group_of = groups_of_images(rng, n_groups, is_pure=is_pure)
        found = scores(outputs[1], labels) - scores(outputs[0], labels)
        spread = gap_draws(outputs, labels, group_of, seed=study).std(axis=2, ddof=1)
        covered += np.abs(found - truth) < 1.96 * spread
    return covered / n_studies
