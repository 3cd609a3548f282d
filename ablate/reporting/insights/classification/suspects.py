"""Labels that all trials together doubt, on images that no trial was trained on.

The method is confident learning (Northcutt, Jiang and Chuang, 2021). A class's threshold is the
mean probability that the trials give it on images labelled so. An image is suspect where another
class passes its own threshold and is the most probable of those that do. It is a list of images to
look at, not of errors: hard images appear in it as well as wrong labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting.predictions.pooled_votes import Pooled

_LEAST_VOTES = 0.5
"""Share of the trials that must predict the other class."""


@dataclass(frozen=True)
class Suspect:
    """An image whose label most trials contradict."""

    split: str
    image_id: str
    label: int
    likely: int
    """The class that the trials see."""
    p_label: float
    """Mean probability of the label over all trials."""
    p_likely: float
    n_votes: int
    """Trials that predict `likely`."""
    n_trials: int


def suspect_labels(pooled: Sequence[Pooled]) -> tuple[Suspect, ...]:
    """Every suspect of the splits together, the most certain first."""
    if not pooled:
        return ()
    probabilities = np.concatenate([split.probabilities for split in pooled])
    labels = np.concatenate([split.labels for split in pooled])
    # of val and test together: rare classes have few images in either
    thresholds = class_thresholds(probabilities, labels)
    suspects: list[Suspect] = []
    for split in pooled:
        suspects.extend(_suspects_of(split, thresholds))

    def certainty(suspect: Suspect) -> tuple[float, str, str]:
        # the most certain first; split and id make the order whole
        return suspect.p_label - suspect.p_likely, suspect.split, suspect.image_id

    return tuple(sorted(suspects, key=certainty))


def _suspects_of(split: Pooled, thresholds: NDArray[np.float64]) -> Iterator[Suspect]:
    # Every trial that is asked votes once per image, so a row counts the trials.
    n_trials = split.votes.sum(axis=1)
    rows = np.arange(len(split.labels))
    # A class below its threshold can never be the likely one: probabilities are not negative.
    passing = np.where(split.probabilities >= thresholds, split.probabilities, -1.0)
    likely = passing.argmax(axis=1)
    # Where no class passes, argmax still names one.
    is_passed = passing[rows, likely] >= 0
    # the mean alone may come from a few very confident trials
    is_voted = split.votes[rows, likely] > _LEAST_VOTES * n_trials
    for row in np.flatnonzero(is_passed & is_voted & (likely != split.labels)):
        yield Suspect(
            split=split.split,
            image_id=split.image_ids[row],
            label=int(split.labels[row]),
            likely=int(likely[row]),
            p_label=float(split.probabilities[row, split.labels[row]]),
            p_likely=float(split.probabilities[row, likely[row]]),
            n_votes=int(split.votes[row, likely[row]]),
            n_trials=int(n_trials[row]),
        )


def class_thresholds(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(C,) mean probability of each class on the images labelled so; infinite without an image."""
    n_classes = probabilities.shape[1]
    of_labels = probabilities[np.arange(len(labels)), labels]
    total = np.bincount(labels, weights=of_labels, minlength=n_classes)
    n_images = np.bincount(labels, minlength=n_classes)
    # infinite: no probability passes the threshold of a class that nobody can know
    return np.where(n_images > 0, total / np.maximum(n_images, 1), np.inf)


# of suspect_labels.csv, which people sort and filter
_COLUMNS = (
    "split",
    "image_id",
    "label",
    "trials_see",
    "p_label",
    "p_seen",
    "n_trials_see",
    "n_trials",
)


def suspect_frame(suspects: Sequence[Suspect], class_names: Sequence[str]) -> pd.DataFrame:
    """One row per suspect, for CSV."""
    rows = []
    for suspect in suspects:
        # in the order of the columns
        names = (class_names[suspect.label], class_names[suspect.likely])
        numbers = (suspect.p_label, suspect.p_likely, suspect.n_votes, suspect.n_trials)
        rows.append((suspect.split, suspect.image_id, *names, *numbers))
    return pd.DataFrame(rows, columns=list(_COLUMNS))
