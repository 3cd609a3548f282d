"""What the test predictions of an arm say: scores by class, confused pairs, calibration, mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from ablate.metrics.calibration import Reliability
from ablate.reporting.evidence.effects import PRIMARY, SECONDARY
from ablate.reporting.predictions.classification import RunReading, Threshold
from ablate.reporting.predictions.read import Readings
from ablate.study.record import StudyRecord

CLASS_SCORES = ("precision", "recall", "f1", "auroc")
N_MISTAKES, N_PAIRS, N_EXAMPLES = 5, 5, 4


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
class ArmInsight:
    """The test predictions of one arm's complete trials."""

    classes: pd.DataFrame
    """One row a class: class, precision, recall, f1, auroc (means over the seeds where defined), support (images in test)."""
    confusion: NDArray[np.int64]
    """(C, C) sum over the seeds; row = label, column = predicted class."""
    n_seeds: int
    """Runs whose predictions could be read."""
    reliability: Reliability
    """Of all seeds' predictions together."""
    temperature: float
    """Mean over the seeds."""
    ece_softened: float
    mistakes: tuple[Mistake, ...]
    """Those that most seeds made, the most confident first."""
    confused: tuple[tuple[Mistake, ...], ...]
    """The same for each of the most confused pairs of classes, in the order of `most_confused`."""
    thresholds: tuple[Threshold, ...]


def arm_insight(readings: Readings, record: StudyRecord, arm_id: str) -> ArmInsight | None:
    """Gather an arm's readings, in the order of the seeds; None where there is none."""
    runs = readings.of_kind(RunReading)
    own = [runs[arm_id, seed] for seed in record.seeds if (arm_id, seed) in runs]
    if not own:
        return None
    matrix, alike = (
        np.sum([one.confusion for one in own], axis=0),
        _shared_mistakes([one.mistakes for one in own]),
    )
    columns = {
        name: mean_where_defined(np.stack([getattr(one.classes, name) for one in own]))
        for name in CLASS_SCORES
    }
    return ArmInsight(
        classes=pd.DataFrame(
            {"class": list(record.data.class_names), **columns, "support": own[0].classes.support}
        ),
        confusion=matrix,
        n_seeds=len(own),
        reliability=_together([one.reliability for one in own]),
        temperature=float(np.mean([one.temperature for one in own])),
        ece_softened=float(np.mean([one.ece_softened for one in own])),
        mistakes=_mistakes(alike.head(N_MISTAKES)),
        confused=tuple(
            _mistakes(
                alike[(alike["label"] == label) & (alike["predicted"] == taken)].head(N_EXAMPLES)
            )
            for label, taken, _ in confused_pairs(matrix, n_pairs=N_PAIRS)
        ),
        thresholds=tuple(one.threshold for one in own if one.threshold is not None),
    )


def replicate_arrays(readings: Readings, record: StudyRecord) -> dict[str, NDArray[np.float64]]:
    """Metric -> (arms, seeds, draws), NaN for trials whose predictions could not be read."""
    runs = readings.resampled
    if not runs:
        return {}
    n_draws = len(next(iter(runs.values()))[PRIMARY])
    nothing = np.full(n_draws, np.nan)
    return {
        metric: np.array(
            [
                [
                    runs[arm.arm_id, seed][metric] if (arm.arm_id, seed) in runs else nothing
                    for seed in record.seeds
                ]
                for arm in record.arms
            ]
        )
        for metric in (PRIMARY, SECONDARY)
    }


def most_confused(
    insight: ArmInsight, class_names: Sequence[str], *, n_pairs: int
) -> list[tuple[str, str, int]]:
    """Return up to `n_pairs` of (label, predicted, errors over all seeds), the most frequent first; ties in order of the classes."""
    return [
        (class_names[i], class_names[j], n)
        for i, j, n in confused_pairs(insight.confusion, n_pairs=n_pairs)
    ]


def confused_pairs(matrix: NDArray[np.int64], *, n_pairs: int) -> list[tuple[int, int, int]]:
    """The same as positions of classes, from counts (C, C) with row = label."""
    errors = matrix.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[:n_pairs]
    rows, columns = np.unravel_index(order, errors.shape)
    return [
        (int(i), int(j), int(errors[i, j]))
        for i, j in zip(rows, columns, strict=True)
        if errors[i, j] > 0
    ]


def similarity_order(matrix: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the classes in an order that puts those near each other that are taken for each other. `matrix` (C, C) counts, row = label.

    Average linkage on the share of confusions in either direction, leaves ordered so that neighbours differ least (Bar-Joseph et al., 2001).
    """
    if len(matrix) < 3:
        return np.arange(len(matrix), dtype=np.intp)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    distance = 1 - (shares + shares.T) / 2
    np.fill_diagonal(distance, 0.0)
    return np.asarray(
        leaves_list(
            linkage(squareform(distance, checks=False), method="average", optimal_ordering=True)
        ),
        dtype=np.intp,
    )


def _together(of_seeds: Sequence[Reliability]) -> Reliability:
    count = np.sum([one.count for one in of_seeds], axis=0)
    with np.errstate(invalid="ignore"):
        confidence, accuracy = (
            np.sum([np.nan_to_num(getattr(one, name)) * one.count for one in of_seeds], axis=0)
            / count
            for name in ("confidence", "accuracy")
        )
    return Reliability(count=count, confidence=confidence, accuracy=accuracy)


def _shared_mistakes(of_seeds: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """image_id, label, predicted, mean (confidence), size (seeds): those that the most seeds made alike first, then the most confident, then by id."""
    alike = (
        pd.concat(of_seeds)
        .groupby(["image_id", "label", "predicted"], sort=True)["confidence"]
        .agg(["mean", "size"])
        .reset_index()
    )
    return alike.sort_values(["size", "mean"], ascending=False, kind="stable")


def _mistakes(rows: pd.DataFrame) -> tuple[Mistake, ...]:
    return tuple(
        Mistake(
            str(row["image_id"]),
            int(row["label"]),
            int(row["predicted"]),
            float(row["mean"]),
            int(row["size"]),
        )
        for row in rows.to_dict("records")
    )


def mean_where_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(seeds, C) -> (C,), NaN where no seed has a value."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(
            np.where(defined, values, 0.0).sum(axis=0) / defined.sum(axis=0), dtype=np.float64
        )
