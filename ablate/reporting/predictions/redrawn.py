"""How the test images of a study are resampled: the same draw for all runs that share them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ablate.metrics.group_resampling import group_weights
from ablate.metrics.resampling import image_weights
from ablate.metrics.split_resampling import (
    NamedDraws,
    group_factor,
    repeats,
    split_group_weights,
    split_image_weights,
)
from ablate.reporting.predictions._base import Draws
from ablate.study.record import StudyRecord
from ablate.targets.codecs import SplitPredictions

_N_DRAWS = 400
"""Resamples of the test images: an SD over so many is known to 3.5 %."""
_MOST_WEIGHTS = 40_000_000
"""Draws times images: 160 MB in float32, which all runs of a study share."""


@dataclass(frozen=True)
class Redrawn:
    """Some test images, resampled. Fields as in `HeldOut`."""

    weights: NDArray[np.float32]
    group_of: NDArray[np.int64] | None


class Resampling(Protocol):
    """What resamples the test images of a study's runs."""

    def seed_of(self, seed: int) -> int | None:
        """What tells the test images of runs apart: the seed; None where all share them."""
        ...

    def of(self, test: SplitPredictions, *, seed: int) -> Redrawn:
        """Resample the test images of a run."""
        ...

    def factors(self) -> Mapping[int, float]:
        """Return seed -> see `Readings.factors`, after all runs were read."""
        ...

    def repeats(self) -> float:
        """Return `Readings.repeats`, after all runs were read."""
        ...


def resampling_of(record: StudyRecord) -> Resampling:
    """Return what a study needs: one draw, or one for each seed's own test images."""
    splits = record.data.splits
    if splits is None:
        return _OneDraw()
    n_tests = splits.n_images * max(splits.most_tests, 1)
    return _DrawPerSeed(NamedDraws(_n_draws(n_tests), seed=0))


def moved_away(draws: Draws, factor: float) -> Draws:
    """Return scores on resampled images, farther from their mean by a factor."""
    if factor == 1:
        return draws
    moved = {}
    for metric, values in draws.items():
        centre = values.mean()
        moved[metric] = centre + factor * (values - centre)
    return moved


@dataclass
class _OneDraw:
    """All runs are scored on the same images."""

    _drawn: list[Redrawn] = field(default_factory=list)

    def seed_of(self, _seed: int) -> int | None:
        return None

    def of(self, test: SplitPredictions, *, seed: int) -> Redrawn:  # noqa: ARG002
        group_of = _group_of(test)
        # Once: the largest array of a report.
        if not self._drawn:
            self._drawn.append(Redrawn(_weights(test, group_of), group_of))
        return Redrawn(self._drawn[0].weights, group_of)

    def factors(self) -> Mapping[int, float]:
        return {}

    def repeats(self) -> float:
        return 0.0


@dataclass
class _DrawPerSeed:
    """Each seed tests images of its own; an image that several test is drawn alike for all."""

    draws: NamedDraws
    _drawn: dict[int, Redrawn] = field(default_factory=dict)
    _sizes: dict[int, dict[str, int]] = field(default_factory=dict)
    """Seed -> group -> its test images."""

    def seed_of(self, seed: int) -> int | None:
        return seed

    def of(self, test: SplitPredictions, *, seed: int) -> Redrawn:
        if seed not in self._drawn:
            self._drawn[seed] = self._draw(test, seed)
        return self._drawn[seed]

    def _draw(self, test: SplitPredictions, seed: int) -> Redrawn:
        group_of = _group_of(test)
        if group_of is None or test.groups is None:
            draws = self.draws.of(list(map(str, test.image_ids)))
            return Redrawn(split_image_weights(draws, test.targets), None)
        names, sizes = np.unique(np.array(list(map(str, test.groups))), return_counts=True)
        self._sizes[seed] = dict(zip(names.tolist(), sizes.tolist(), strict=True))
        return Redrawn(split_group_weights(self.draws.of(names.tolist()), group_of), group_of)

    def factors(self) -> Mapping[int, float]:
        size_of: dict[str, int] = {}
        for sizes in self._sizes.values():
            size_of |= sizes
        of_all = np.array(list(size_of.values()))
        factors = {}
        for seed, sizes in self._sizes.items():
            factors[seed] = group_factor(np.array(list(sizes.values())), of_all)
        return factors

    def repeats(self) -> float:
        return repeats(list(self._sizes.values()))


def _group_of(predictions: SplitPredictions) -> NDArray[np.int64] | None:
    """(N,) number of each image's group; None where nothing groups them."""
    if predictions.groups is None:
        return None
    names = np.array(list(map(str, predictions.groups)), dtype=object)
    _, group_of = np.unique(names, return_inverse=True)
    return np.asarray(group_of.ravel(), dtype=np.int64)


def _weights(
    predictions: SplitPredictions, group_of: NDArray[np.int64] | None
) -> NDArray[np.float32]:
    """Resamples of the test images, or of their groups; fewer where there are very many images."""
    n_draws = _n_draws(len(predictions.targets))
    if group_of is not None:
        return group_weights(group_of, n_draws=n_draws, seed=0)
    return image_weights(predictions.targets, n_draws=n_draws, seed=0)


def _n_draws(n_images: int) -> int:
    # 100 draws at least: fewer would leave intervals to chance
    return int(np.clip(_MOST_WEIGHTS // n_images, 100, _N_DRAWS))
