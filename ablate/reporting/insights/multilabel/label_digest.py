"""The test predictions of an arm on images with several labels, all seeds together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting.insights.class_scores import class_table
from ablate.reporting.predictions.multilabel import LabelReading
from ablate.reporting.predictions.read import Readings
from ablate.study.record import StudyRecord

LABEL_SCORES = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "auroc": "AUROC",
    "average_precision": "average precision",
}
"""Column of classes.csv -> its heading in a card."""
_N_ERRORS = 5
_N_PAIRS = 5


@dataclass(frozen=True)
class LabelError:
    """A class that was called on a test image without the label, or missed in spite of it."""

    image_id: str
    position: int
    """Of the class."""
    p: float
    """Probability of the class, mean over the seeds that made the error."""
    n_seeds: int


@dataclass(frozen=True)
class Pair:
    """Two classes that are called on the same test images. Counts are over all seeds."""

    first: int
    second: int
    n_wrong: int
    """Images that have not both labels."""
    n_together: int


@dataclass(frozen=True)
class LabelDigest:
    """The test predictions of one arm's complete trials."""

    classes: pd.DataFrame
    """One row per class: class, `LABEL_SCORES` (means over the seeds where defined), support."""
    n_seeds: int
    """Runs whose predictions could be read."""
    n_images: int
    """Of test."""
    exact: float
    """Share of the test images of which every class is right, all seeds together."""
    n_called: float
    """Classes called per image, all seeds together."""
    false_positives: tuple[LabelError, ...]
    """Those that most seeds made, the most confident first."""
    false_negatives: tuple[LabelError, ...]
    pairs: tuple[Pair, ...]
    """Most often wrong first."""


def label_digest(readings: Readings, record: StudyRecord, arm_id: str) -> LabelDigest | None:
    """Gather an arm's readings, in the order of the seeds; None where there is none."""
    runs = readings.of_arm(arm_id, record.seeds, LabelReading)
    if not runs:
        return None
    errors = pd.concat([run.errors for run in runs])
    wrong_together = np.sum([run.wrong_together for run in runs], axis=0)
    together = np.sum([run.together for run in runs], axis=0)
    # of each run: errors have no rows for images without one
    n_images = float(np.mean([run.n_images for run in runs]))
    return LabelDigest(
        classes=class_table([run.classes for run in runs], record, scores=tuple(LABEL_SCORES)),
        n_seeds=len(runs),
        n_images=_n_images(runs, record),
        exact=float(np.mean([run.n_exact for run in runs])) / n_images,
        n_called=float(np.mean([run.n_called for run in runs])) / n_images,
        # called: the higher its probability the worse; missed: the lower
        false_positives=_most_shared(errors[errors["is_called"]], ascending=False),
        false_negatives=_most_shared(errors[~errors["is_called"]], ascending=True),
        pairs=_wrong_pairs(wrong_together, together),
    )


def _n_images(runs: list[LabelReading], record: StudyRecord) -> int:
    """The images that `support` counts the classes of."""
    if record.data.splits is None:
        return runs[0].n_images
    return sum(run.n_images for run in runs)


def _most_shared(errors: pd.DataFrame, *, ascending: bool) -> tuple[LabelError, ...]:
    """Errors that most seeds made; then by their probability, lowest first if `ascending`."""
    # As for a single label: ties do not depend on the order of runs.
    same_error = errors.groupby(["image_id", "class"], sort=True)["p"]
    counted = same_error.agg(["mean", "size"]).reset_index()
    ranked = counted.sort_values(["size", "mean"], ascending=[False, ascending], kind="stable")
    shared = []
    for row in ranked.head(_N_ERRORS).to_dict("records"):
        error = LabelError(
            image_id=str(row["image_id"]),
            position=int(row["class"]),
            p=float(row["mean"]),
            n_seeds=int(row["size"]),
        )
        shared.append(error)
    return tuple(shared)


def _wrong_pairs(wrong: NDArray[np.int64], together: NDArray[np.int64]) -> tuple[Pair, ...]:
    pairs = []
    # Counts are symmetric, and the diagonal is a class with itself.
    for first, second in zip(*np.triu_indices(len(wrong), k=1), strict=True):
        if wrong[first, second]:
            n_wrong = int(wrong[first, second])
            n_together = int(together[first, second])
            pairs.append(Pair(int(first), int(second), n_wrong, n_together))
    # stable, so that equal counts stand in the order of the classes
    pairs.sort(key=lambda pair: -pair.n_wrong)
    return tuple(pairs[:_N_PAIRS])
