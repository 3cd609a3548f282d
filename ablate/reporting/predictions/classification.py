"""One run's predictions on images with one label each, digested."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.metrics.calibration import Reliability, fit_temperature, reliability, with_temperature
from ablate.metrics.classification import (
    PerClass,
    confusion,
    per_class,
    rank,
    resampled_macro_f1,
)
from ablate.metrics.group_resampling import group_resampled_area, group_resampled_macro_f1
from ablate.metrics.operating_point import (
    OperatingPoint,
    at_threshold,
    average_precision,
    threshold_for_precision,
)
from ablate.metrics.ranking import Ranking
from ablate.metrics.resampling import resampled_area
from ablate.reporting.predictions._base import Draws, HeldOut, of_test
from ablate.study.record import StudyRecord
from ablate.targets.codecs import SplitPredictions

TARGET_PRECISION = 0.9
"""Where the grid names none."""


@dataclass(frozen=True)
class Threshold:
    """A binary task's operating point, of one run: chosen on val for a precision of `target`."""

    target: float
    average_precision: float
    """On test."""
    point: OperatingPoint | None
    """On test; None where no threshold keeps the target on val."""


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
    """image_id, label, predicted, confidence of each test image taken for another class."""
    threshold: Threshold | None
    """None unless there are two classes."""
    resampled: Draws


def read(held_out: HeldOut, record: StudyRecord) -> RunReading:
    """Digest the test predictions, with what val says of temperature and threshold."""
    probabilities, labels = arrays_of(held_out.test)
    predicted = probabilities.argmax(axis=1)
    ranking = rank(probabilities, labels)
    temperature = math.nan
    ece_softened = math.nan
    # on val, never on test: a temperature of test's own would make any network look calibrated
    if held_out.val is not None:
        temperature = fit_temperature(*arrays_of(held_out.val))
        softened = with_temperature(probabilities, temperature)
        ece_softened = reliability(softened, labels).ece
    return RunReading(
        classes=per_class(probabilities, labels, ranking=ranking),
        confusion=confusion(labels, predicted, probabilities.shape[1]),
        reliability=reliability(probabilities, labels),
        temperature=temperature,
        ece_softened=ece_softened,
        mistakes=_mistakes(held_out.test, predicted),
        threshold=_threshold(held_out, target=record.target_precision or TARGET_PRECISION),
        resampled=of_test(_resampled(held_out, predicted, ranking)),
    )


def _resampled(
    held_out: HeldOut, predicted: NDArray[np.int64], ranking: Ranking
) -> dict[str, NDArray[np.float64]]:
    """As `metrics.classification.resampled`, without sorting the images a second time."""
    labels = held_out.test.targets.array
    weights = held_out.weights
    group_of = held_out.group_of
    if group_of is None:
        return {
            "macro_f1": resampled_macro_f1(predicted, labels, weights),
            "auroc_ovr_macro": resampled_area(ranking, weights),
        }
    return {
        "macro_f1": group_resampled_macro_f1(predicted, labels, weights, group_of),
        "auroc_ovr_macro": group_resampled_area(ranking, weights, group_of),
    }


def arrays_of(predictions: SplitPredictions) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities (N, C) and labels (N,)."""
    # float64 before anything is summed: files keep float32
    return predictions.outputs.astype(np.float64), predictions.targets.array


def _mistakes(test: SplitPredictions, predicted: NDArray[np.int64]) -> pd.DataFrame:
    probabilities, labels = arrays_of(test)
    (wrong,) = np.nonzero(predicted != labels)
    # object: numpy's own strings would pad every id to the longest
    image_ids = np.array(test.image_ids, dtype=object)
    # a row per mistake, not per image: digests of all runs are kept at once
    return pd.DataFrame(
        {
            "image_id": image_ids[wrong],
            "label": labels[wrong],
            "predicted": predicted[wrong],
            "confidence": probabilities.max(axis=1)[wrong],
        }
    )


def _threshold(held_out: HeldOut, *, target: float) -> Threshold | None:
    """The operating point for the second class, where there are two and val was stored."""
    # of two classes the second is the positive one
    if held_out.val is None or held_out.test.targets.n_classes != 2:
        return None
    val_probabilities, val_labels = arrays_of(held_out.val)
    probabilities, labels = arrays_of(held_out.test)
    scores = probabilities[:, 1]
    is_positive = labels == 1
    # chosen on val, judged on test: what a user of the network would get
    chosen = threshold_for_precision(val_probabilities[:, 1], val_labels == 1, target=target)
    point = None
    if chosen is not None:
        point = at_threshold(scores, is_positive, chosen)
    return Threshold(target, average_precision(scores, is_positive), point)
