"""The report's answers to the questions that the grid declares."""

from __future__ import annotations

from ablate.reporting.results import Results, ShowFigure
from ablate.reporting.text.markdown import bullets, join_sections
from ablate.reporting.text.question_sentences import question_sentences, questions_note


def questions_section(results: Results, _show: ShowFigure) -> str:
    """One line for each question; empty where the grid declares none."""
    sentences = question_sentences(results)
    if not sentences:
        return ""
    heading = "## What was asked"
    return join_sections([heading, questions_note(results), bullets(sentences)]).rstrip()
