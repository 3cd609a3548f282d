"""The test predictions of an arm, all seeds together: scores by class, calibration, mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.metrics.calibration import Reliability
from ablate.reporting.insights.class_scores import class_table
from ablate.reporting.insights.classification.confusion import confused_pairs
from ablate.reporting.predictions.classification import RunReading, Threshold
from ablate.reporting.predictions.read import Readings
from ablate.study.record import StudyRecord

CLASS_SCORES = {"precision": "precision", "recall": "recall", "f1": "F1", "auroc": "AUROC"}
"""Column of classes.csv -> its heading in a card."""
N_PAIRS = 5
# what fits a page: a table of five rows, and four images beside one that is really of the class
_N_MISTAKES = 5
_N_EXAMPLES = 4


@dataclass(frozen=True)
class Mistake:
    """A test image taken for another class."""

    image_id: str
    label: int
    predicted: int
    confidence: float
    """Probability of the predicted class, mean over the seeds that made the mistake."""
    n_seeds: int


@dataclass(frozen=True)
class ClassDigest:
    """The test predictions of one arm's complete trials."""

    classes: pd.DataFrame
    """One row per class: class, `CLASS_SCORES` (means over the seeds where defined), support."""
    confusion: NDArray[np.int64]
    """(C, C) sum over the seeds; row = label, column = predicted class."""
    n_seeds: int
    """Runs whose predictions could be read."""
    n_tests: int
    """Of them, those that test one and the same image, at most."""
    reliability: Reliability
    """Of all seeds' predictions together."""
    temperature: float
    """Mean over the seeds."""
    ece_softened: float
    """Calibration error on test with each seed's temperature, mean over the seeds."""
    mistakes: tuple[Mistake, ...]
    """Those that most seeds made, the most confident first."""
    confused: tuple[tuple[Mistake, ...], ...]
    """The same for each of the most confused pairs of classes, the most frequent pair first."""
    thresholds: tuple[Threshold, ...]
    """Of each seed; none unless there are two classes."""


def class_digest(readings: Readings, record: StudyRecord, arm_id: str) -> ClassDigest | None:
    """Gather an arm's readings, in the order of the seeds; None where there is none."""
    runs = readings.of_arm(arm_id, record.seeds, RunReading)
    if not runs:
        return None
    thresholds = []
    for run in runs:
        if run.threshold is not None:
            thresholds.append(run.threshold)
    # summed, not averaged: tables and figures count predictions
    confusion = np.sum([run.confusion for run in runs], axis=0)
    mistakes = _shared_mistakes([run.mistakes for run in runs])
    return ClassDigest(
        classes=class_table([run.classes for run in runs], record, scores=tuple(CLASS_SCORES)),
        confusion=confusion,
        n_seeds=len(runs),
        n_tests=_n_tests(len(runs), record),
        reliability=_pooled_reliability([run.reliability for run in runs]),
        # NaN where a run stored no val predictions: a mean over some seeds would hide that
        temperature=float(np.mean([run.temperature for run in runs])),
        ece_softened=float(np.mean([run.ece_softened for run in runs])),
        mistakes=_as_mistakes(mistakes.head(_N_MISTAKES)),
        confused=_examples_of_pairs(mistakes, confusion),
        thresholds=tuple(thresholds),
    )


def _n_tests(n_seeds: int, record: StudyRecord) -> int:
    if record.data.splits is None:
        return n_seeds
    return min(n_seeds, record.data.splits.most_tests)


def _pooled_reliability(of_seeds: Sequence[Reliability]) -> Reliability:
    """The bins of all seeds' predictions together: means weighted by the predictions in each."""
    count = np.zeros_like(of_seeds[0].count)
    confidence = np.zeros(len(count))
    accuracy = np.zeros(len(count))
    for bins in of_seeds:
        count += bins.count
        # a bin is NaN in a seed that has no prediction in it
        confidence += np.nan_to_num(bins.confidence) * bins.count
        accuracy += np.nan_to_num(bins.accuracy) * bins.count
    # ... and stays NaN where no seed has one: 0 / 0
    with np.errstate(invalid="ignore"):
        return Reliability(count=count, confidence=confidence / count, accuracy=accuracy / count)


def _shared_mistakes(of_seeds: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One row per mistake, those that most seeds made first, then the most confident, then by id.

    Columns: image_id, label, predicted, mean (confidence), size (seeds).
    """
    # Groups in the order of their keys and a stable sort: ties do not depend on the order of runs.
    # the same image taken for the same class: seeds that took it for other classes are no evidence
    # of a wrong label
    same_mistake = pd.concat(of_seeds).groupby(["image_id", "label", "predicted"], sort=True)
    mistakes = same_mistake["confidence"].agg(["mean", "size"]).reset_index()
    return mistakes.sort_values(["size", "mean"], ascending=False, kind="stable")


def _examples_of_pairs(
    mistakes: pd.DataFrame, confusion: NDArray[np.int64]
) -> tuple[tuple[Mistake, ...], ...]:
    examples = []
    for label, predicted, _ in confused_pairs(confusion, n_pairs=N_PAIRS):
        # `mistakes` is ranked already, so the head of a pair is its most shared mistakes.
        is_of_pair = (mistakes["label"] == label) & (mistakes["predicted"] == predicted)
        examples.append(_as_mistakes(mistakes[is_of_pair].head(_N_EXAMPLES)))
    return tuple(examples)


def _as_mistakes(rows: pd.DataFrame) -> tuple[Mistake, ...]:
    mistakes = []
    for row in rows.to_dict("records"):
        mistake = Mistake(
            image_id=str(row["image_id"]),
            label=int(row["label"]),
            predicted=int(row["predicted"]),
            confidence=float(row["mean"]),
            n_seeds=int(row["size"]),
        )
        mistakes.append(mistake)
    return tuple(mistakes)
