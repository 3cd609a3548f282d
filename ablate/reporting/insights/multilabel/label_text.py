"""What an arm gets wrong on images with several labels, in plain sentences and tables."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.errors import plural
from ablate.quoting import code
from ablate.reporting.insights.class_scores import weakest_class_line, weakest_class_sentence
from ablate.reporting.insights.multilabel.label_digest import LabelDigest, LabelError
from ablate.reporting.text.markdown import bullets, join_sections, table


def label_error_sentences(digest: LabelDigest) -> list[str]:
    """Two sentences: how often all is right with how many classes are called, the weakest class."""
    # beside what is predicted: a network that calls too much or too little shows here first
    n_labelled = int(digest.classes["support"].sum()) / digest.n_images
    seeds = plural(digest.n_seeds, "seed")
    exact = (
        f"It gets every class right on {100 * digest.exact:.1f} % of the test images "
        f"({seeds} together); it predicts {digest.n_called:.2f} classes per image, "
        f"the labels name {n_labelled:.2f}."
    )
    return [exact, weakest_class_sentence(digest.classes)]


def label_error_lines(digest: LabelDigest, class_names: Sequence[str]) -> list[str]:
    """What it gets wrong in short, for the first screen."""
    # the sternest measure first: one wrong class of twenty makes an image wrong
    lines = [f"every class right on {100 * digest.exact:.1f} % of the test images"]
    if digest.pairs:
        pair = digest.pairs[0]
        names = f"{code(class_names[pair.first])} with {code(class_names[pair.second])}"
        lines.append(f"{names} predicted without both labels: {pair.n_wrong} of {pair.n_together}")
    return [*lines, weakest_class_line(digest.classes)]


def label_errors(digest: LabelDigest, class_names: Sequence[str]) -> str:
    """The sentences, and tables of wrong pairs and of the most confident errors."""
    # both kinds apart: what is called in spite of the label, and what the label says in vain
    called = (
        "The most confident predictions of a class without the label, "
        "those that most seeds made first: look at their labels."
    )
    missed = "The labels that it misses most confidently, those that most seeds missed first."
    parts = [
        bullets(label_error_sentences(digest)),
        _pairs(digest, class_names),
        _errors(called, digest.false_positives, class_names),
        _errors(missed, digest.false_negatives, class_names),
    ]
    return join_sections(parts).rstrip()


def _pairs(digest: LabelDigest, class_names: Sequence[str]) -> str:
    rows = []
    for pair in digest.pairs:
        names = (code(class_names[pair.first]), code(class_names[pair.second]))
        rows.append([*names, str(pair.n_wrong), str(pair.n_together)])
    if not rows:
        return ""
    heading = (
        "Classes that it most often predicts together where the labels do not "
        f"(images, {plural(digest.n_seeds, 'seed')} together):"
    )
    header = ["predicted together", "and", "not both labelled", "images"]
    return f"{heading}\n\n{table(header, rows, n_text_columns=2)}"


def _errors(heading: str, errors: Sequence[LabelError], class_names: Sequence[str]) -> str:
    rows = []
    for error in errors:
        names = (code(error.image_id), code(class_names[error.position]))
        rows.append([*names, f"{error.p:.3f}", str(error.n_seeds)])
    if not rows:
        return ""
    header = ["image", "class", "probability", "seeds"]
    return f"{heading}\n\n{table(header, rows, n_text_columns=2)}"
