"""Labels that all trials together doubt: confident learning (Northcutt, Jiang and Chuang, 2021) on images that no trial was trained on.

A class's threshold is the mean probability that the trials give it on images labelled so. An image is suspect where another class passes its own threshold and
is the most probable of those that do. It is a list of images to look at, not of errors: what is merely hard stands in it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting.predictions.read import Pooled

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
    """Every suspect of the splits together, the surest first."""
    found: list[Suspect] = []
    if not pooled:
        return ()
    thresholds = class_thresholds(
        np.concatenate([one.probabilities for one in pooled]),
        np.concatenate([one.labels for one in pooled]),
    )
    for one in pooled:
        n_trials = int(one.votes[0].sum())
        passing = np.where(one.probabilities >= thresholds, one.probabilities, -1.0)
        likely = passing.argmax(axis=1)
        every = np.arange(len(likely))
        doubted = (
            (passing[every, likely] >= 0)
            & (likely != one.labels)
            & (one.votes[every, likely] > _LEAST_VOTES * n_trials)
        )
        found += [
            Suspect(
                split=one.split,
                image_id=one.image_ids[i],
                label=int(one.labels[i]),
                likely=int(likely[i]),
                p_label=float(one.probabilities[i, one.labels[i]]),
                p_likely=float(one.probabilities[i, likely[i]]),
                n_votes=int(one.votes[i, likely[i]]),
                n_trials=n_trials,
            )
            for i in np.flatnonzero(doubted)
        ]
    return tuple(
        sorted(
            found,
            key=lambda suspect: (
                suspect.p_label - suspect.p_likely,
                suspect.split,
                suspect.image_id,
            ),
        )
    )


def class_thresholds(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(C,) mean probability of each class on the images labelled so; infinite for a class without an image."""
    n_classes = probabilities.shape[1]
    own = np.bincount(
        labels, weights=probabilities[np.arange(len(labels)), labels], minlength=n_classes
    )
    n_images = np.bincount(labels, minlength=n_classes)
    return np.where(n_images > 0, own / np.maximum(n_images, 1), np.inf)


def suspect_frame(suspects: Sequence[Suspect], class_names: Sequence[str]) -> pd.DataFrame:
    """One row a suspect, for CSV."""
    rows = [
        (
            one.split,
            one.image_id,
            class_names[one.label],
            class_names[one.likely],
            one.p_label,
            one.p_likely,
            one.n_votes,
            one.n_trials,
        )
        for one in suspects
    ]
    return pd.DataFrame(
        rows,
        columns=[
            "split",
            "image_id",
            "label",
            "trials_see",
            "p_label",
            "p_seen",
            "n_trials_see",
            "n_trials",
        ],
    )
