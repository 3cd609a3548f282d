"""Studies of which each seed has a split of its own, and how often their intervals are right.

Classifiers are really trained, so that folds share train images as folds do. The truth is the mean
gap of two ways of training over data sets of the same size. `scripts/simulate_folds.py` makes the
table of docs/statistics.md of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from ablate.metrics.classification import confusion, resampled_macro_f1
from ablate.metrics.group_resampling import group_resampled_macro_f1
from ablate.metrics.split_resampling import NamedDraws
from ablate.reporting.predictions.redrawn import _DrawPerSeed, moved_away
from ablate.reporting.predictions.replicates import with_repeats
from ablate.reporting.statistics.contrast import gap
from ablate.reporting.statistics.estimate import estimates
from ablate.targets import OneLabel
from ablate.targets.codecs import SplitPredictions
from ablate.targets.equal_folds import equal_folds
from ablate.targets.group_stratification import deal_in_order

N_CLASSES, N_FEATURES, N_DRAWS = 3, 8, 200
N_OF_POPULATION, N_OF_TRUTH = 6_000, 200
SD_OF_SEED = 0.15
"""What a seed does to the weights of a classifier, in units of their size."""
Arrays = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]
"""(N, D) images, (N,) labels, (N,) groups."""


@dataclass(frozen=True)
class Setting:
    """What a study is."""

    n_seeds: int
    n_folds: int | None
    """None: splits of 60, 20 and 20 % are drawn again for each seed."""
    n_images: int
    """About, where there are groups."""
    has_groups: bool
    """Of 2 to 20 images of one class."""


def images(rng: np.random.Generator, n_images: int, *, has_groups: bool) -> Arrays:
    """Draw a data set."""
    sizes = np.ones(n_images, dtype=np.int64)
    if has_groups:
        sizes = rng.integers(2, 21, max(n_images // 11, 15))
    labels = np.arange(len(sizes)) % N_CLASSES
    group_of = np.repeat(np.arange(len(sizes)), sizes)
    centres = np.zeros((N_CLASSES, N_FEATURES))
    for label in range(N_CLASSES):
        centres[label, [label, label + N_CLASSES]] = (1.5, 0.7)
    shared = np.zeros((len(sizes), N_FEATURES))
    if has_groups:
        shared = 0.7 * rng.normal(size=shared.shape)
    noise = rng.normal(size=(len(group_of), N_FEATURES))
    return centres[labels[group_of]] + shared[group_of] + noise, labels[group_of], group_of


def trained(
    features: NDArray[np.float64], labels: NDArray[np.int64], arm: int, rng: np.random.Generator
) -> Callable[[NDArray[np.float64]], NDArray[np.int64]]:
    """Fit the classifier of an arm: ridge regression on some of the features, or on all."""
    n_used = (N_CLASSES, N_FEATURES)[arm]

    def inputs(of: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([of[:, :n_used], np.ones((len(of), 1))], axis=1)

    x = inputs(features)
    weights = np.linalg.solve(x.T @ x + 0.1 * np.eye(x.shape[1]), x.T @ np.eye(N_CLASSES)[labels])
    weights += SD_OF_SEED * weights.std() * rng.normal(size=weights.shape)
    return lambda of: (inputs(of) @ weights).argmax(axis=1)


def macro_f1(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    matrix = confusion(labels, predicted, N_CLASSES)
    support = matrix.sum(axis=1)
    f1 = 2 * matrix.diagonal() / np.maximum(matrix.sum(axis=0) + support, 1)
    return float(f1[support > 0].mean())


def folds_of(
    labels: NDArray[np.int64], group_of: NDArray[np.int64], n_folds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """(N,) folds, shuffled."""
    n_groups = int(group_of.max()) + 1
    if n_groups < len(labels):
        counts = np.zeros((n_groups, N_CLASSES), dtype=np.int64)
        np.add.at(counts, (group_of, labels), 1)
        order = rng.permutation(n_groups)
        return deal_in_order(counts, [1 / n_folds] * n_folds, order.tolist())[group_of]
    order = rng.permutation(len(labels))
    fold_of = np.empty(len(labels), dtype=np.int64)
    fold_of[order] = equal_folds(labels[order], n_folds)
    return fold_of


def splits(
    setting: Setting,
    labels: NDArray[np.int64],
    group_of: NDArray[np.int64],
    rng: np.random.Generator,
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Train and test of each seed; what is left is val."""
    made = []
    n_folds = setting.n_folds or 5
    fold_of = folds_of(labels, group_of, n_folds, rng)
    for seed in range(setting.n_seeds):
        fold = seed % n_folds
        if setting.n_folds is None:
            fold = 0
        if seed and fold == 0:
            fold_of = folds_of(labels, group_of, n_folds, rng)
        test = fold_of == fold
        made.append((~test & (fold_of != (fold + 1) % n_folds), test))
    return made


def truth(setting: Setting, rng: np.random.Generator) -> float:
    """Mean gap of the arms over data sets."""
    population, of_population, _ = images(rng, N_OF_POPULATION, has_groups=setting.has_groups)
    gaps = []
    for _ in range(N_OF_TRUTH):
        features, labels, group_of = images(rng, setting.n_images, has_groups=setting.has_groups)
        train, _ = splits(setting, labels, group_of, rng)[0]
        scores = []
        for arm in (0, 1):
            predict = trained(features[train], labels[train], arm, rng)
            scores.append(macro_f1(predict(population), of_population))
        gaps.append(scores[1] - scores[0])
    return float(np.mean(gaps))


def study(
    setting: Setting, rng: np.random.Generator, number: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(arms, seeds) scores and (arms, seeds, draws) scores on resampled images."""
    features, labels, group_of = images(rng, setting.n_images, has_groups=setting.has_groups)
    resampling = _DrawPerSeed(NamedDraws(N_DRAWS, seed=number))
    scores = np.zeros((2, setting.n_seeds))
    drawn = np.zeros((2, setting.n_seeds, N_DRAWS))
    for seed, (train, test) in enumerate(splits(setting, labels, group_of, rng)):
        ids = tuple(map(str, np.flatnonzero(test)))
        groups = tuple(map(str, group_of[test])) if setting.has_groups else None
        targets = OneLabel(labels[test], N_CLASSES)
        redrawn = resampling.of(
            SplitPredictions(ids, targets, np.zeros((len(ids), N_CLASSES)), groups), seed=seed
        )
        for arm in (0, 1):
            predicted = trained(features[train], labels[train], arm, rng)(features[test])
            scores[arm, seed] = macro_f1(predicted, labels[test])
            if redrawn.group_of is None:
                values = resampled_macro_f1(predicted, labels[test], redrawn.weights)
            else:
                values = group_resampled_macro_f1(
                    predicted, labels[test], redrawn.weights, redrawn.group_of
                )
            drawn[arm, seed] = values
    factors = resampling.factors()
    for seed in range(setting.n_seeds):
        for arm in (0, 1):
            moved = moved_away({"f1": drawn[arm, seed]}, factors.get(seed, 1.0))
            drawn[arm, seed] = moved["f1"]
    return scores, with_repeats(drawn, resampling.repeats())


def coverage(setting: Setting, *, n_studies: int, seed: int = 0) -> dict[str, float]:
    """Share of studies whose 95 % interval holds the truth: ours, and a paired t over the seeds.

    And the mean standard error, beside the SD of the estimates.
    """
    rng = np.random.default_rng(seed)
    expected = truth(setting, rng)
    n_ours = n_naive = 0
    widths = []
    errors = []
    for number in range(n_studies):
        scores, drawn = study(setting, rng, number)
        (estimate,) = estimates([gap(1, 0)], scores, drawn)
        error = abs(estimate.value - expected)
        gaps = scores[1] - scores[0]
        n_ours += int(error < estimate.half_width(0.05))
        quantile = student.ppf(0.975, setting.n_seeds - 1)
        n_naive += int(error < quantile * gaps.std(ddof=1) / np.sqrt(setting.n_seeds))
        widths.append(estimate.se)
        errors.append(estimate.value - expected)
    return {
        "ours": n_ours / n_studies,
        "naive": n_naive / n_studies,
        "se": float(np.mean(widths)),
        "sd": float(np.std(errors)),
    }
