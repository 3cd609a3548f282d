"""What an arm gets wrong, in plain sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ablate.quoting import code
from ablate.reporting.predictions.classification import Threshold
from ablate.reporting.predictions.classification_insight import ArmInsight, most_confused
from ablate.reporting.results import NOT_MEASURED
from ablate.reporting.text.markdown import plural, table


def error_sentences(insight: ArmInsight, class_names: Sequence[str]) -> list[str]:
    """Three sentences: how often and what for what, the weakest class, and how sure it is when it is wrong."""
    return [_confused(insight, class_names), _weakest(insight), _sureness(insight)]


def _confused(insight: ArmInsight, class_names: Sequence[str]) -> str:
    total, hits = int(insight.confusion.sum()), int(insight.confusion.trace())
    share = f"It gets {100 * (total - hits) / total:.1f} % of the test images wrong ({plural(insight.n_seeds, 'seed')} together)"
    pairs = most_confused(insight, class_names, n_pairs=1)
    if not pairs:
        return f"{share}: no image is taken for another class."
    label, taken, n = pairs[0]
    of_label = int(insight.confusion[class_names.index(label)].sum())
    return f"{share}; most often it takes {code(label)} for {code(taken)} ({n} of {of_label} predictions on {code(label)})."


def _weakest(insight: ArmInsight) -> str:
    known = insight.classes.dropna(subset=["f1"])
    worst = known.iloc[int(known["f1"].to_numpy().argmin())]
    name = code(str(worst["class"]))
    called = (
        "it calls no image so"
        if math.isnan(worst["precision"])
        else f"{100 * worst['precision']:.0f} % of what it calls {name} is right"
    )
    return f"Its weakest class is {name}: it finds {100 * worst['recall']:.0f} % of its images, and {called}."


def _sureness(insight: ArmInsight) -> str:
    bins = insight.reliability
    said = float(
        (bins.confidence[bins.count > 0] * bins.count[bins.count > 0]).sum() / bins.count.sum()
    )
    right = float(
        (bins.accuracy[bins.count > 0] * bins.count[bins.count > 0]).sum() / bins.count.sum()
    )
    is_even = abs(said - right) < 0.01
    verdict = (
        "which is even"
        if is_even
        else ("too sure of itself" if said > right else "less sure than it could be")
    )
    return f"It is {100 * said:.0f} % sure on average and right in {100 * right:.0f} %: {verdict}; {temperature_text(insight)}."


def temperature_text(insight: ArmInsight) -> str:
    """What a temperature fitted on val does to the calibration error on test."""
    if math.isnan(insight.temperature):
        return f"a temperature is {NOT_MEASURED}, no val predictions were stored"
    return f"a temperature of {insight.temperature:.2f}, fitted on val, brings its calibration error on test to {insight.ece_softened:.3f}"


def mistakes_table(insight: ArmInsight, class_names: Sequence[str]) -> str:
    """The most confident mistakes by name of the image: where to look for wrong labels first."""
    rows = [
        [
            code(mistake.image_id),
            code(class_names[mistake.label]),
            code(class_names[mistake.predicted]),
            f"{mistake.confidence:.3f}",
            str(mistake.n_seeds),
        ]
        for mistake in insight.mistakes
    ]
    return (
        table(["image", "label", "taken for", "confidence", "seeds"], rows, n_text_columns=3)
        if rows
        else ""
    )


def threshold_sentence(insight: ArmInsight, class_names: Sequence[str]) -> str:
    """Binary tasks: average precision, and what the threshold chosen on val does on test, for each seed."""
    if not insight.thresholds:
        return ""
    told = [
        f"average precision {one.average_precision:.3f}, {_kept(one)}" for one in insight.thresholds
    ]
    wanted = insight.thresholds[0].target
    target = f"{wanted:.2f}" if round(wanted, 2) == wanted else f"{wanted:g}"
    against = f"{code(class_names[1])} against {code(class_names[0])}"
    return f"Class {against}, threshold chosen on val for a precision of {target}, by seed: {'; '.join(told)}."


def _kept(threshold: Threshold) -> str:
    point = threshold.point
    if point is None:
        return "no threshold keeps it on val"
    precision = NOT_MEASURED if math.isnan(point.precision) else f"{point.precision:.3f}"
    return f"threshold {point.threshold:.3f}: precision {precision}, recall {point.recall:.3f}"
