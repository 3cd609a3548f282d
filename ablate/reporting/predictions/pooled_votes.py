"""What all runs together say of each image that they were not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ablate.targets import Targets
from ablate.targets.codecs import SplitPredictions

# val first, as reports list splits; both were never trained on
HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class Pooled:
    """What all complete trials say of the images of a split that none of them was trained on.

    Where each seed has a split of its own: what those say that tested an image.
    """

    split: str
    image_ids: tuple[str, ...]
    labels: NDArray[np.int64]
    """(N,)"""
    probabilities: NDArray[np.float64]
    """(N, C) mean over the trials."""
    votes: NDArray[np.int64]
    """(N, C) trials that predict the class."""
    is_by_testers: bool = False
    """Whether each image was judged by the trials alone that tested it."""


@dataclass
class Votes:
    """The votes of a study's runs, as they are read."""

    is_own_split: bool
    """Whether each seed has a split of its own: then an image is judged by the seeds that test
    it, and val, which other seeds test, says nothing more."""
    _sums: dict[tuple[str, int | None], _VoteSum] = field(default_factory=dict)

    def add(self, predictions: SplitPredictions, *, split: str, seed: int) -> None:
        """Add the votes of one run."""
        key: tuple[str, int | None] = (split, None)
        if self.is_own_split:
            key = (split, seed)
        if key not in self._sums:
            self._sums[key] = _VoteSum.of(predictions)
        self._sums[key].add(predictions)

    def pooled(self) -> tuple[Pooled, ...]:
        """Return the splits that were stored, val first."""
        if self.is_own_split:
            of_test = [votes for (split, _), votes in self._sums.items() if split == "test"]
            return _joined(of_test)
        pooled = []
        for split in HELD_OUT:
            if (split, None) in self._sums:
                pooled.append(self._sums[split, None].pooled(split))
        return tuple(pooled)


@dataclass
class _VoteSum:
    """The sum of what runs said of the classes of one split's images."""

    image_ids: Sequence[str]
    targets: Targets
    probabilities: NDArray[np.float64]
    votes: NDArray[np.int64]
    n_runs: int = field(default=0)

    @classmethod
    def of(cls, predictions: SplitPredictions) -> _VoteSum:
        """No run was added yet."""
        # sums, not a list of arrays: hundreds of runs cost what one costs
        shape = predictions.outputs.shape
        votes = np.zeros(shape, dtype=np.int64)
        return cls(predictions.image_ids, predictions.targets, np.zeros(shape), votes)

    def add(self, predictions: SplitPredictions) -> None:
        """Add a run's probabilities, and its vote for one class of each image."""
        self.probabilities += predictions.outputs.astype(np.float64)
        self.votes[np.arange(len(self.votes)), predictions.outputs.argmax(axis=1)] += 1
        self.n_runs += 1

    def pooled(self, split: str) -> Pooled:
        """The mean over the runs."""
        image_ids = tuple(map(str, self.image_ids))
        mean = self.probabilities / self.n_runs
        return Pooled(split, image_ids, self.targets.array, mean, self.votes)


def _joined(of_seeds: Sequence[_VoteSum]) -> tuple[Pooled, ...]:
    """All images that some seed tests, by their ids; one that several test has all their votes."""
    if not of_seeds:
        return ()
    every_id = np.concatenate([np.array(votes.image_ids, dtype=object) for votes in of_seeds])
    image_ids, first, row_of = np.unique(every_id, return_index=True, return_inverse=True)
    shape = (len(image_ids), of_seeds[0].votes.shape[1])
    sums = np.zeros(shape)
    np.add.at(sums, row_of.ravel(), np.concatenate([of.probabilities for of in of_seeds]))
    votes = np.zeros(shape, dtype=np.int64)
    np.add.at(votes, row_of.ravel(), np.concatenate([of.votes for of in of_seeds]))
    labels = np.concatenate([of.targets.array for of in of_seeds])[first]
    mean = sums / votes.sum(axis=1, keepdims=True)
    ids = tuple(map(str, image_ids))
    return (Pooled("test", ids, labels, mean, votes, is_by_testers=True),)
