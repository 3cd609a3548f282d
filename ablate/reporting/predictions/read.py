"""A study's predictions, each run's read once and digested; and what all trials together say of each image."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.errors import CheckFailed, StoreError
from ablate.metrics import multilabel
from ablate.metrics.calibration import Reliability, fit_temperature, reliability, with_temperature
from ablate.metrics.classification import PerClass, confusion, per_class, score
from ablate.metrics.operating_point import (
    OperatingPoint,
    at_threshold,
    average_precision,
    threshold_for_precision,
)
from ablate.metrics.ranking import rank_classes
from ablate.metrics.resampling import image_weights, resampled_auroc, resampled_macro_f1
from ablate.reporting.evidence.tables import run_of_trial
from ablate.reporting.predictions.read_multilabel import LabelReading, read_labels
from ablate.study.tasks.classification import CLASSIFICATION
from ablate.tracking.artifacts import labels_of, probabilities_of
from ablate.tracking.events import TrialState
from ablate.tracking.records import PublishedRun, PublishedStudy

Predictions = Callable[[PublishedRun], pd.DataFrame]
"""Reads a run's predictions: columns split, image_id, label, p_0 ... p_{C-1}; y_0 ... y_{C-1} in place of label where images have several."""
TARGET_PRECISION = 0.9
"""Where the grid names none."""
HELD_OUT = ("val", "test")
_N_DRAWS, _MOST_WEIGHTS = 400, 40_000_000


@dataclass(frozen=True)
class Threshold:
    """A binary task's operating point, of one run: chosen on val for a precision of `target`, told on test."""

    target: float
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
class Pooled:
    """What all complete trials say of the images of one split, none of which they were trained on."""

    split: str
    image_ids: tuple[str, ...]
    labels: NDArray[np.int64]
    """(N,)"""
    probabilities: NDArray[np.float64]
    """(N, C) mean over the trials."""
    votes: NDArray[np.int64]
    """(N, C) trials that predict the class."""


@dataclass(frozen=True)
class Readings:
    """The complete runs whose predictions the store could give."""

    runs: Mapping[tuple[str, int], RunReading]
    """By (arm_id, seed)."""
    pooled: tuple[Pooled, ...]
    """Splits that were stored, val first; none where images have several labels."""
    labels: Mapping[tuple[str, int], LabelReading] = field(default_factory=dict)
    """The same as `runs` where images have several labels."""

    @property
    def resampled(self) -> Mapping[tuple[str, int], Mapping[str, NDArray[np.float64]]]:
        """(arm_id, seed) -> metric -> (draws,) scores on resampled test images."""
        return {
            **{key: one.resampled for key, one in self.runs.items()},
            **{key: one.resampled for key, one in self.labels.items()},
        }


def read_study(study: PublishedStudy, predictions: Predictions) -> Readings:
    """Read the predictions of each complete run once. Raises CheckFailed where runs were scored on different images."""
    splits: dict[str, _Split] = {}
    weights: NDArray[np.float32] | None = None
    readings: dict[tuple[str, int], RunReading] = {}
    of_labels: dict[tuple[str, int], LabelReading] = {}
    n_classes = len(study.record.data.class_names)
    runs, target = run_of_trial(study), study.record.target_precision or TARGET_PRECISION
    for arm_id, seed in itertools.product(
        [arm.arm_id for arm in study.record.arms], study.record.seeds
    ):  # sums must not depend on the order of the runs
        run = runs.get((arm_id, seed))
        if run is None or run.status != TrialState.COMPLETE:
            continue
        try:
            frame = predictions(run)
        except (StoreError, FileNotFoundError):
            continue
        arrays: dict[str, Arrays] = {}
        for split in HELD_OUT:
            rows = (
                split_of(frame, "test", run) if split == "test" else frame[frame["split"] == split]
            )
            if rows.empty:
                continue
            arrays[split] = arrays_of(rows)
            if arrays[split][0].shape[1] != n_classes:
                raise CheckFailed(
                    f"predictions must have a column for each of the {n_classes} classes, got {arrays[split][0].shape[1]}"
                )
            splits.setdefault(split, _Split.of(rows, run, n_classes=n_classes)).add(
                rows, arrays[split][0], run, split=split
            )
        weights = _weights(arrays["test"][1]) if weights is None else weights
        if arrays["test"][1].ndim == 2:
            of_labels[arm_id, seed] = read_labels(
                *arrays["test"], image_ids=splits["test"].image_ids, weights=weights
            )
        else:
            readings[arm_id, seed] = _read(arrays, splits["test"].image_ids, weights, target=target)
    if of_labels:
        return Readings({}, (), of_labels)
    return Readings(
        readings, tuple(splits[split].pooled(split) for split in HELD_OUT if split in splits)
    )


def split_of(frame: pd.DataFrame, split: str, run: PublishedRun) -> pd.DataFrame:
    """The rows of one split. Raises CheckFailed where the run stored none."""
    own = frame[frame["split"] == split]
    if own.empty:
        raise CheckFailed(
            f"predictions of run {run.run_id} must hold the split {split}, got {sorted(frame['split'].unique())}"
        )
    return own


Arrays = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Probabilities (N, C) and labels (N,), or (N, C) of 0 and 1."""


def arrays_of(rows: pd.DataFrame) -> Arrays:
    """Probabilities (N, C) and labels (N,), or (N, C) where images have several, of one split."""
    return probabilities_of(rows).astype(np.float64), np.asarray(labels_of(rows))


def split_scores(rows: pd.DataFrame) -> dict[str, float]:
    """Every score of one split, as its trial computed it."""
    probabilities, labels = arrays_of(rows)
    return (
        multilabel.score(probabilities, labels)
        if labels.ndim == 2
        else score(probabilities, labels)
    )


@dataclass
class _Split:
    """One split's images, and the sum of what was read of them so far."""

    digest: str
    run_id: str
    image_ids: NDArray[np.object_]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    votes: NDArray[np.int64]
    n_runs: int = field(default=0)

    @classmethod
    def of(cls, rows: pd.DataFrame, run: PublishedRun, *, n_classes: int) -> _Split:
        """Nothing was read yet."""
        shape = (len(rows), n_classes)
        ids = rows["image_id"].to_numpy(dtype=object)
        return cls(
            _digest(rows),
            run.run_id,
            ids,
            labels_of(rows),
            np.zeros(shape),
            np.zeros(shape, dtype=np.int64),
        )

    def add(
        self,
        rows: pd.DataFrame,
        probabilities: NDArray[np.float64],
        run: PublishedRun,
        *,
        split: str,
    ) -> None:
        """Add a run's. Raises CheckFailed where its images are others."""
        if _digest(rows) != self.digest:
            raise CheckFailed(
                f"runs of a study must be scored on the same {split} images and labels, those of run {run.run_id} differ from those of {self.run_id}"
            )
        self.probabilities += probabilities
        if self.labels.ndim == 1:
            self.votes[np.arange(len(rows)), probabilities.argmax(axis=1)] += 1
        self.n_runs += 1

    def pooled(self, split: str) -> Pooled:
        """The mean."""
        return Pooled(
            split,
            tuple(map(str, self.image_ids)),
            self.labels,
            self.probabilities / self.n_runs,
            self.votes,
        )


def _digest(rows: pd.DataFrame) -> str:
    text = "\n".join(rows["image_id"].to_list())
    return hashlib.sha256(text.encode() + labels_of(rows).tobytes()).hexdigest()


def _weights(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    n_draws = int(np.clip(_MOST_WEIGHTS // len(labels), 100, _N_DRAWS))
    return image_weights(labels, n_draws=n_draws, seed=0)


def _read(
    arrays: Mapping[str, Arrays],
    image_ids: NDArray[np.object_],
    weights: NDArray[np.float32],
    *,
    target: float,
) -> RunReading:
    probabilities, labels = arrays["test"]
    n_classes = probabilities.shape[1]
    predicted, ranking = probabilities.argmax(axis=1), rank_classes(probabilities, labels)
    temperature = fit_temperature(*arrays["val"]) if "val" in arrays else math.nan
    (wrong,) = np.nonzero(predicted != labels)
    return RunReading(
        classes=per_class(probabilities, labels, ranking=ranking),
        confusion=confusion(labels, predicted, n_classes),
        reliability=reliability(probabilities, labels),
        temperature=temperature,
        ece_softened=reliability(with_temperature(probabilities, temperature), labels).ece
        if "val" in arrays
        else math.nan,
        mistakes=pd.DataFrame(
            {
                "image_id": image_ids[wrong],
                "label": labels[wrong],
                "predicted": predicted[wrong],
                "confidence": probabilities.max(axis=1)[wrong],
            }
        ),
        threshold=_threshold(arrays["val"], probabilities, labels, target=target)
        if n_classes == 2 and "val" in arrays
        else None,
        resampled={
            f"test/{CLASSIFICATION.primary}": resampled_macro_f1(predicted, labels, weights),
            f"test/{CLASSIFICATION.secondary}": resampled_auroc(ranking, weights),
        },
    )


def _threshold(
    val: Arrays, probabilities: NDArray[np.float64], labels: NDArray[np.int64], *, target: float
) -> Threshold:
    of_val, labels_of_val = val
    chosen = threshold_for_precision(of_val[:, 1], labels_of_val == 1, target=target)
    point = None if chosen is None else at_threshold(probabilities[:, 1], labels == 1, chosen)
    return Threshold(target, average_precision(probabilities[:, 1], labels == 1), point)
