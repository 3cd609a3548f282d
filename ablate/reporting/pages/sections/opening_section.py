"""The report's first lines: what was asked, and on which images it was answered."""

from __future__ import annotations

from ablate.quoting import text
from ablate.reporting.results import Results, ShowFigure
from ablate.reporting.text import study_sentences
from ablate.reporting.text.markdown import bullets


def title(results: Results, _show: ShowFigure) -> str:
    """The question of the grid file, or its name."""
    # a grid file need not ask one
    question = results.record.question or f"Ablation {results.record.grid_name}"
    return f"# {text(question)}"


def opening(results: Results, _show: ShowFigure) -> str:
    """Data, splits, classes, and how many trials ended how. Warnings stand first."""
    lines = [
        study_sentences.data_sentence(results),
        study_sentences.split_sentence(results),
        study_sentences.classes_sentence(results),
        *study_sentences.absent_sentences(results),
        study_sentences.design_sentence(results),
    ]
    return bullets(filter(None, lines))
