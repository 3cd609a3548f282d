"""The report's first lines: what was asked, and on which images it was answered."""

from __future__ import annotations

from ablate.quoting import text
from ablate.reporting.results import Results, ShowFigure
from ablate.reporting.text import conclusions
from ablate.reporting.text.markdown import bullets


def title(results: Results, _show: ShowFigure) -> str:
    """The question of the grid file, or its name."""
    question = results.record.question or f"Ablation {results.record.grid_name}"
    return f"# {text(question)}"


def opening(results: Results, _show: ShowFigure) -> str:
    """Data, splits, classes, and how many trials ended how. Warnings stand first."""
    lines = [
        conclusions.data_sentence(results),
        conclusions.split_sentence(results),
        conclusions.classes_sentence(results),
        *conclusions.absent_sentences(results),
        conclusions.design_sentence(results),
    ]
    return bullets(line for line in lines if line)
