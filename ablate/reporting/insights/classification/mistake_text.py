"""What an arm gets wrong, in plain sentences and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ablate.errors import plural
from ablate.metrics.calibration import Reliability
from ablate.quoting import code
from ablate.reporting.insights.class_scores import weakest_class_line, weakest_class_sentence
from ablate.reporting.insights.classification.class_digest import N_PAIRS, ClassDigest
from ablate.reporting.insights.classification.confusion import confused_pairs, most_confused
from ablate.reporting.predictions.classification import Threshold
from ablate.reporting.results import NOT_MEASURED
from ablate.reporting.text.markdown import table

# percent are printed without a decimal: closer ones often look the same
_EVEN = 0.01
"""Confidence and accuracy that are closer than this are called equal."""


def error_sentences(digest: ClassDigest, class_names: Sequence[str]) -> list[str]:
    """Three sentences: what is taken for what, the weakest class, confidence beside accuracy."""
    return [
        _confused(digest, class_names),
        weakest_class_sentence(digest.classes),
        _confidence(digest),
    ]


def error_lines(digest: ClassDigest, class_names: Sequence[str]) -> list[str]:
    """The same in short, for the first screen."""
    confused = "no test image is taken for another class"
    # by positions: two classes may bear one name, and a name would find the first of them
    for label, predicted, n_errors in confused_pairs(digest.confusion, n_pairs=1):
        n_of_label = int(digest.confusion[label].sum())
        names = f"{code(class_names[label])} taken for {code(class_names[predicted])}"
        confused = f"{names}: {n_errors} of {n_of_label}"
    return [confused, weakest_class_line(digest.classes), _calibration_line(digest)]


def _calibration_line(digest: ClassDigest) -> str:
    softened = ""
    if not math.isnan(digest.temperature):
        softened = f" (temperature {digest.temperature:.2f} on val)"
    return f"mean {_calibration(digest)}{softened}"


def _confused(digest: ClassDigest, class_names: Sequence[str]) -> str:
    n_predictions = int(digest.confusion.sum())
    # predictions, not images: every seed predicts each image once
    n_wrong = n_predictions - int(digest.confusion.trace())
    seeds = plural(digest.n_seeds, "seed")
    percent = f"{100 * n_wrong / n_predictions:.1f} %"
    share = f"It gets {percent} of the test images wrong ({seeds} together)"
    pairs = confused_pairs(digest.confusion, n_pairs=1)
    if not pairs:
        return f"{share}: no image is taken for another class."
    label, predicted, n_errors = pairs[0]
    n_of_label = int(digest.confusion[label].sum())
    of_label = code(class_names[label])
    return (
        f"{share}; most often it takes {of_label} for {code(class_names[predicted])} "
        f"({n_errors} of {n_of_label} predictions on {of_label})."
    )


def _confidence(digest: ClassDigest) -> str:
    return f"Mean {_calibration(digest)}; {temperature_text(digest)}."


def _calibration(digest: ClassDigest) -> str:
    """`confidence 81 %, accuracy 80 %: well calibrated`."""
    confidence, accuracy = _confidence_and_accuracy(digest)
    verdict = "underconfident"
    if abs(confidence - accuracy) < _EVEN:
        verdict = "well calibrated"
    elif confidence > accuracy:
        verdict = "overconfident"
    return f"confidence {100 * confidence:.0f} %, accuracy {100 * accuracy:.0f} %: {verdict}"


def _confidence_and_accuracy(digest: ClassDigest) -> tuple[float, float]:
    """Means over all test predictions, in [0, 1]."""
    bins = digest.reliability
    return _weighted_mean(bins.confidence, bins), _weighted_mean(bins.accuracy, bins)


def _weighted_mean(values: np.ndarray, bins: Reliability) -> float:
    # Empty bins are NaN.
    is_filled = bins.count > 0
    return float((values[is_filled] * bins.count[is_filled]).sum() / bins.count.sum())


def temperature_text(digest: ClassDigest) -> str:
    """What a temperature fitted on val does to the calibration error on test."""
    # NaN in one seed is enough, see `class_digest`
    if math.isnan(digest.temperature):
        return f"temperature {NOT_MEASURED}, because no val predictions were stored"
    return (
        f"a temperature of {digest.temperature:.2f}, fitted on val, "
        f"changes its calibration error on test to {digest.ece_softened:.3f}"
    )


def confused_table(digest: ClassDigest, class_names: Sequence[str], *, unit: str) -> str:
    """The most confused pairs, or nothing; `unit` is the heading of the counts."""
    rows = []
    pairs = most_confused(digest.confusion, class_names, n_pairs=N_PAIRS)
    for label, predicted, n_errors in pairs:
        rows.append([code(label), code(predicted), str(n_errors)])
    if not rows:
        return ""
    return table(["label", "taken for", unit], rows, n_text_columns=2)


def mistakes_table(digest: ClassDigest, class_names: Sequence[str]) -> str:
    """The most confident mistakes by image, or nothing: where to look for wrong labels first."""
    rows = []
    for mistake in digest.mistakes:
        names = (mistake.image_id, class_names[mistake.label], class_names[mistake.predicted])
        rows.append([*map(code, names), f"{mistake.confidence:.3f}", str(mistake.n_seeds)])
    if not rows:
        return ""
    header = ["image", "label", "taken for", "confidence", "seeds"]
    return table(header, rows, n_text_columns=3)


def threshold_sentence(digest: ClassDigest, class_names: Sequence[str]) -> str:
    """Two classes: average precision, and what the threshold chosen on val does on test, by seed.

    Nothing for any other number of classes.
    """
    if not digest.thresholds:
        return ""
    of_seeds = []
    for threshold in digest.thresholds:
        # of the ranking: it also stands where no threshold reaches the target
        average = f"average precision {threshold.average_precision:.3f}"
        of_seeds.append(f"{average}, {_operating_point(threshold)}")
    classes = f"{code(class_names[1])} against {code(class_names[0])}"
    # all runs of a study have the grid's one target
    target = _target_text(digest.thresholds[0].target)
    return (
        f"Class {classes}, threshold chosen on val for a precision of {target}, by seed: "
        f"{'; '.join(of_seeds)}."
    )


def _target_text(target: float) -> str:
    """Two digits, or more where they would round what the grid asks for."""
    if round(target, 2) == target:
        return f"{target:.2f}"
    return f"{target:g}"


def _operating_point(threshold: Threshold) -> str:
    point = threshold.point
    if point is None:
        return "no threshold reaches it on val"
    precision = f"{point.precision:.3f}"
    # no test image reaches the threshold: nothing is called, so there is no precision
    if math.isnan(point.precision):
        precision = NOT_MEASURED
    return f"threshold {point.threshold:.3f}: precision {precision}, recall {point.recall:.3f}"
