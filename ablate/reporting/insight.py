"""What stored predictions say, read once a run and gathered an arm: classes, confusions, calibration, confident mistakes, scores on resampled images."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.errors import CheckFailed, StoreError
from ablate.metrics.calibration import Reliability, fit_temperature, reliability, with_temperature
from ablate.metrics.classification import PerClass, confusion, per_class
from ablate.metrics.operating_point import OperatingPoint, at_threshold, average_precision, threshold_for_precision
from ablate.metrics.resampling import image_weights, resampled_auroc, resampled_macro_f1
from ablate.reporting.effects import PRIMARY, SECONDARY
from ablate.reporting.tables import run_of_trial
from ablate.spec.study import StudyRecord
from ablate.tracking.artifacts import probabilities_of
from ablate.tracking.events import TrialState
from ablate.tracking.records import PublishedRun, PublishedStudy

Predictions = Callable[[PublishedRun], pd.DataFrame]
"""Reads a run's predictions: columns split, image_id, label, p_0 ... p_{C-1}."""
CLASS_SCORES = ("precision", "recall", "f1", "auroc")
TARGET_PRECISION = 0.9
_N_DRAWS, _MOST_WEIGHTS, _N_MISTAKES = 400, 40_000_000, 5


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
class Threshold:
    """A binary task's operating point, of one run: chosen on val for `TARGET_PRECISION`, told on test."""

    average_precision: float
    point: OperatingPoint | None
    """None where no threshold keeps the target on val."""


@dataclass(frozen=True)
class RunReading:
    """One run's predictions, digested."""

    classes: PerClass
    confusion: NDArray[np.int64]
    reliability: Reliability
    temperature: float
    """Fitted on val; NaN where val was not stored."""
    ece_softened: float
    """Calibration error on test with that temperature."""
    mistakes: pd.DataFrame
    """image_id, label, predicted, confidence of each test image that was taken for another class."""
    threshold: Threshold | None
    """None unless there are two classes."""
    resampled: Mapping[str, NDArray[np.float64]]
    """Metric -> (draws,) scores on resampled test images."""


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
    thresholds: tuple[Threshold, ...]


Readings = Mapping[tuple[str, int], RunReading]
"""(arm_id, seed) -> reading of the complete runs whose predictions the store could give."""


def read_study(study: PublishedStudy, predictions: Predictions) -> Readings:
    """Read the predictions of each complete run once. Raises CheckFailed where runs were scored on different test images."""
    images: _TestImages | None = None
    readings = {}
    for (arm_id, seed), run in run_of_trial(study).items():
        if run.status != TrialState.COMPLETE:
            continue
        try:
            frame = predictions(run)
        except (StoreError, FileNotFoundError):
            continue
        test = split_of(frame, "test", run)
        images = images or _test_images(test, run)
        _check_same_images(images, test, run)
        readings[arm_id, seed] = _read(frame, test, images.weights, n_classes=len(study.record.data.class_names))
    return readings


def split_of(frame: pd.DataFrame, split: str, run: PublishedRun) -> pd.DataFrame:
    """The rows of one split. Raises CheckFailed where the run stored none."""
    own = frame[frame["split"] == split]
    if own.empty:
        raise CheckFailed(f"predictions of run {run.run_id} must hold the split {split}, got {sorted(frame['split'].unique())}")
    return own


def arm_insight(readings: Readings, record: StudyRecord, arm_id: str) -> ArmInsight | None:
    """Gather an arm's readings, in the order of the seeds; None where there is none."""
    own = [readings[arm_id, seed] for seed in record.seeds if (arm_id, seed) in readings]
    if not own:
        return None
    columns = {name: _mean_where_defined(np.stack([getattr(one.classes, name) for one in own])) for name in CLASS_SCORES}
    return ArmInsight(
        classes=pd.DataFrame({"class": list(record.data.class_names), **columns, "support": own[0].classes.support}),
        confusion=np.sum([one.confusion for one in own], axis=0),
        n_seeds=len(own),
        reliability=_together([one.reliability for one in own]),
        temperature=float(np.mean([one.temperature for one in own])),
        ece_softened=float(np.mean([one.ece_softened for one in own])),
        mistakes=_shared_mistakes([one.mistakes for one in own]),
        thresholds=tuple(one.threshold for one in own if one.threshold is not None),
    )


def replicate_arrays(readings: Readings, record: StudyRecord) -> dict[str, NDArray[np.float64]]:
    """Metric -> (arms, seeds, draws), NaN for trials whose predictions could not be read."""
    if not readings:
        return {}
    n_draws = len(next(iter(readings.values())).resampled[PRIMARY])
    nothing = np.full(n_draws, np.nan)
    return {
        metric: np.array(
            [[readings[arm.arm_id, seed].resampled[metric] if (arm.arm_id, seed) in readings else nothing for seed in record.seeds] for arm in record.arms]
        )
        for metric in (PRIMARY, SECONDARY)
    }


def most_confused(insight: ArmInsight, class_names: Sequence[str], *, n_pairs: int) -> list[tuple[str, str, int]]:
    """Return up to `n_pairs` of (label, predicted, errors over all seeds), the most frequent first; ties in order of the classes."""
    errors = insight.confusion.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[:n_pairs]
    rows, columns = np.unravel_index(order, errors.shape)
    return [(class_names[i], class_names[j], int(errors[i, j])) for i, j in zip(rows, columns, strict=True) if errors[i, j] > 0]


@dataclass(frozen=True)
class _TestImages:
    digest: str
    run_id: str
    weights: NDArray[np.float32]


def _digest(test: pd.DataFrame) -> str:
    text = "\n".join(f"{image_id}\t{label}" for image_id, label in zip(test["image_id"], test["label"], strict=True))
    return hashlib.sha256(text.encode()).hexdigest()


def _test_images(test: pd.DataFrame, run: PublishedRun) -> _TestImages:
    n_draws = int(np.clip(_MOST_WEIGHTS // len(test), 100, _N_DRAWS))
    return _TestImages(_digest(test), run.run_id, image_weights(test["label"].to_numpy(), n_draws=n_draws, seed=0))


def _check_same_images(images: _TestImages, test: pd.DataFrame, run: PublishedRun) -> None:
    if _digest(test) != images.digest:
        raise CheckFailed(f"runs of a study must be scored on the same test images and labels, those of run {run.run_id} differ from those of {images.run_id}")


def _read(frame: pd.DataFrame, test: pd.DataFrame, weights: NDArray[np.float32], *, n_classes: int) -> RunReading:
    probabilities, labels = arrays_of(test)
    if probabilities.shape[1] != n_classes:
        raise CheckFailed(f"predictions must have a column for each of the {n_classes} classes, got {probabilities.shape[1]}")
    predicted = probabilities.argmax(axis=1)
    val = frame[frame["split"] == "val"]
    temperature = fit_temperature(*arrays_of(val)) if len(val) else math.nan
    wrong = predicted != labels
    return RunReading(
        classes=per_class(probabilities, labels),
        confusion=confusion(labels, predicted, n_classes),
        reliability=reliability(probabilities, labels),
        temperature=temperature,
        ece_softened=reliability(with_temperature(probabilities, temperature), labels).ece if len(val) else math.nan,
        mistakes=pd.DataFrame(
            {"image_id": test["image_id"][wrong], "label": labels[wrong], "predicted": predicted[wrong], "confidence": probabilities.max(axis=1)[wrong]}
        ),
        threshold=_threshold(val, probabilities, labels) if n_classes == 2 and len(val) else None,
        resampled={PRIMARY: resampled_macro_f1(predicted, labels, weights), SECONDARY: resampled_auroc(probabilities, labels, weights)},
    )


def arrays_of(rows: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities (N, C) and labels (N,) of one split."""
    return probabilities_of(rows).astype(np.float64), rows["label"].to_numpy(dtype=np.int64)


def _threshold(val: pd.DataFrame, probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Threshold:
    of_val, labels_of_val = arrays_of(val)
    chosen = threshold_for_precision(of_val[:, 1], labels_of_val == 1, target=TARGET_PRECISION)
    point = None if chosen is None else at_threshold(probabilities[:, 1], labels == 1, chosen)
    return Threshold(average_precision(probabilities[:, 1], labels == 1), point)


def _together(of_seeds: Sequence[Reliability]) -> Reliability:
    count = np.sum([one.count for one in of_seeds], axis=0)
    with np.errstate(invalid="ignore"):
        confidence, accuracy = (
            np.sum([np.nan_to_num(getattr(one, name)) * one.count for one in of_seeds], axis=0) / count for name in ("confidence", "accuracy")
        )
    return Reliability(count=count, confidence=confidence, accuracy=accuracy)


def _shared_mistakes(of_seeds: Sequence[pd.DataFrame]) -> tuple[Mistake, ...]:
    """The mistakes that the most seeds made alike, the most confident first; ties in order of the images."""
    every = pd.concat(of_seeds)
    alike = every.groupby(["image_id", "label", "predicted"], sort=True)["confidence"].agg(["mean", "size"]).reset_index()
    worst = alike.sort_values(["size", "mean"], ascending=False, kind="stable").head(_N_MISTAKES)
    return tuple(
        Mistake(str(row["image_id"]), int(row["label"]), int(row["predicted"]), float(row["mean"]), int(row["size"])) for row in worst.to_dict("records")
    )


def _mean_where_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(seeds, C) -> (C,), NaN where no seed has a value."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0.0).sum(axis=0) / defined.sum(axis=0), dtype=np.float64)
