"""Which train images an epoch shows: few-shot subsets and samplers, from streams alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ablate.streams import stream

Sampler = Literal["shuffle", "balanced", "sqrt"]
# Weight of an image: the number of images of its class to this power.
_POWER = {"balanced": -1.0, "sqrt": -0.5}


@dataclass(frozen=True)
class Sampling:
    """The images of a split that a trial uses, and how often it draws each class."""

    rows: NDArray[np.int64]
    """Positions in the split, ascending."""
    labels: NDArray[np.int64]
    """Of the rows, (N,); (N, C) where images have several, which are only shuffled."""
    sampler: Sampler

    def epoch(self, *, seed: int, epoch: int) -> NDArray[np.int64]:
        """Positions in the split, in the order of an epoch, as many as there are rows."""
        if self.sampler == "shuffle":
            return self.rows[epoch_order(len(self.rows), seed=seed, epoch=epoch)]
        # (N,): balanced gives every class the same sum, sqrt the root of its size.
        weights = np.bincount(self.labels).astype(np.float64)[self.labels] ** _POWER[self.sampler]
        # The stream of the plain shuffle: "order" of seed and epoch, whatever the arm.
        rng = np.random.Generator(np.random.Philox(key=stream(seed, "order", epoch)))
        return self.rows[rng.choice(len(self.rows), size=len(self.rows), p=weights / weights.sum())]


def every_image(labels: NDArray[np.int64]) -> Sampling:
    """The whole split, each image once an epoch."""
    return Sampling(np.arange(len(labels)), labels, "shuffle")


def epoch_order(n_images: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return a permutation of range(n_images) that depends on the seed and the epoch only."""
    return np.random.Generator(np.random.Philox(key=stream(seed, "order", epoch))).permutation(
        n_images
    )


def few_shot_rows(
    labels: NDArray[np.int64], image_ids: Sequence[str], *, shots: int | None, seed: int
) -> NDArray[np.int64]:
    """Return ascending positions of `shots` images of each class, or of all it has; null is all.

    The images of a class are ranked by the stream "shots" of seed and image, so 5 shots contain
    the 1 shot, and every arm of a seed has the same.
    """
    if shots is None:
        return np.arange(len(labels))
    ranks = []
    for image_id in image_ids:
        ranks.append(stream(seed, "shots", image_id))
    rank = np.array(ranks)
    chosen = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        # stable: equal ranks, which a hash may give, keep the stored order
        chosen.append(rows[np.argsort(rank[rows], kind="stable")[:shots]])
    return np.sort(np.concatenate(chosen))
