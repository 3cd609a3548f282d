"""What is read of one run's predictions; each task reads on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ablate.study.record import StudyRecord
from ablate.targets.codecs import SplitPredictions

Draws = Mapping[str, NDArray[np.float64]]
"""Key of a metric on test -> (draws,) scores on resampled test images."""


# a protocol: a task adds what its tables need, and inherits nothing
class Reading(Protocol):
    """One run's predictions, digested; a task adds what its tables and figures need."""

    @property
    def resampled(self) -> Draws:
        """The task's primary and secondary metric on resampled test images."""
        ...


@dataclass(frozen=True)
class HeldOut:
    """The predictions of one run on the images that it was not trained on."""

    test: SplitPredictions
    val: SplitPredictions | None
    """None where they were not stored."""
    # float32: the largest array of a report, and a weight is a small multiple of n / (n - 1)
    weights: NDArray[np.float32]
    """(draws, N) that resample the test images, the same for every run of the study."""
    group_of: NDArray[np.int64] | None = None
    """(N,) group of each test image, in [0, G), where whole groups are resampled."""


@dataclass(frozen=True)
class Reader:
    """How the predictions of one task are read."""

    read: Callable[[HeldOut, StudyRecord], Reading]
    is_pooled: bool = False
    """Whether a run votes for one class of each image, so that the votes of runs can be counted."""


def of_test(scores: Mapping[str, NDArray[np.float64]]) -> Draws:
    """Scores by their keys in the report: `<name>` -> `test/<name>`."""
    # intervals look replicates up by the keys of the trial frame
    return {f"test/{name}": draws for name, draws in scores.items()}
