"""Sections of report and cards on what an arm gets wrong, and on its calibration."""

from __future__ import annotations

from ablate.errors import plural
from ablate.metrics.calibration import N_BINS, Reliability
from ablate.reporting.figures.example_images import left_out_note
from ablate.reporting.insights.class_scores import UNREAD, by_class_section
from ablate.reporting.insights.classification.class_digest import CLASS_SCORES, ClassDigest
from ablate.reporting.insights.classification.class_pictures import (
    CONFUSED,
    CONFUSION,
    MISTAKES,
    RELIABILITY,
)
from ablate.reporting.insights.classification.mistake_text import (
    confused_table,
    error_sentences,
    mistakes_table,
    temperature_text,
    threshold_sentence,
)
from ablate.reporting.results import NOT_MEASURED, Results, ShowFigure
from ablate.reporting.text.conclusions import metric_cell
from ablate.reporting.text.layout import in_pairs
from ablate.reporting.text.markdown import bullets, headed, join_sections, table
from ablate.study.record import ArmRecord

UNREAD_SECTIONS = [
    UNREAD,
    f"## Calibration\n\n{NOT_MEASURED.capitalize()}: no predictions of this arm could be read.",
]


def error_parts(digest: ClassDigest, results: Results, show: ShowFigure) -> list[str]:
    """Paragraphs of the report on the best arm's errors."""
    names = results.record.data.class_names
    # sentences first, then what they are taken from
    sentences = error_sentences(digest, names)
    threshold = threshold_sentence(digest, names)
    if threshold:
        sentences.append(threshold)
    pairs = confused_table(digest, names, unit="images")
    verdict = "No image was taken for another class."
    # Empty where nothing was confused: then there is a sentence instead of an empty table.
    if pairs:
        verdict = "Most confused:"
    heading = "The most confident mistakes, those that most seeds made first: look at their labels."
    mistakes = [headed(heading, mistakes_table(digest, names)), show(MISTAKES)]
    return [
        bullets(sentences),
        f"Test predictions of {plural(digest.n_seeds, 'seed')} together. {verdict}",
        in_pairs([join_sections([pairs, show(CONFUSED)]).rstrip(), show(CONFUSION)]),
        # beside the place where the images would be
        left_out_note(results),
        in_pairs([join_sections(mistakes).rstrip(), show(RELIABILITY)]),
    ]


def card_sections(digest: ClassDigest, results: Results, arm: ArmRecord) -> list[str]:
    """Scores by class, errors and calibration of an arm."""
    # Those whose predictions could be read: an artifact may have been pruned.
    seeds = plural(digest.n_seeds, "seed")
    # each class's scores are those of a binary task: this class, or any other
    note = f"On test, one class against the rest, mean over {seeds}, from the stored predictions."
    return [
        by_class_section(digest.classes, headings=CLASS_SCORES, note=note),
        _errors_section(digest, results),
        _calibration_section(digest, results, arm),
    ]


def _errors_section(digest: ClassDigest, results: Results) -> str:
    names = results.record.data.class_names
    heading = "The most confident mistakes, those that most seeds made first:"
    parts = [
        "## What it gets wrong",
        bullets(error_sentences(digest, names)),
        confused_table(digest, names, unit="predictions"),
        headed(heading, mistakes_table(digest, names)),
    ]
    return join_sections(parts).rstrip()


def _calibration_section(digest: ClassDigest, results: Results, arm: ArmRecord) -> str:
    error = metric_cell(results, arm.arm_id, "test/ece")
    summary = (
        f"Expected calibration error on test ({N_BINS} bins, top class): {error}; "
        f"{temperature_text(digest)} (means over seeds)."
    )
    parts = [
        "## Calibration",
        summary,
        _bins_table(digest.reliability),
        threshold_sentence(digest, results.record.data.class_names),
    ]
    return join_sections(parts).rstrip()


def _bins_table(bins: Reliability) -> str:
    rows = []
    for place in range(N_BINS):
        # most networks are sure of most images: the lower bins are often empty
        if not bins.count[place]:
            continue
        edges = f"{place / N_BINS:.2f} to {(place + 1) / N_BINS:.2f}"
        confidence = f"{bins.confidence[place]:.3f}"
        accuracy = f"{bins.accuracy[place]:.3f}"
        rows.append([edges, str(bins.count[place]), confidence, accuracy])
    return table(["confidence", "predictions", "mean confidence", "accuracy"], rows)


def calibration_limit(results: Results, arm: ArmRecord) -> str:
    """The calibration error, for a card's list of limits."""
    error = metric_cell(results, arm.arm_id, "test/ece")
    return f"Calibration on test: expected calibration error {error}."
