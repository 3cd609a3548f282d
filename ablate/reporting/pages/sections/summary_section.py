"""The report's summary, of at most five lines."""

from __future__ import annotations

from ablate.reporting.results import Results, ShowFigure
from ablate.reporting.text import conclusions
from ablate.reporting.text.markdown import bullets


def summary_section(results: Results, _show: ShowFigure) -> str:
    """What matters, what is best, by how much, what is as good, how much is luck."""
    lines = [
        conclusions.claims_sentence(results),
        conclusions.best_sentence(results),
        conclusions.gap_sentence(results),
        conclusions.ties_sentence(results),
        conclusions.optimism_sentence(results),
    ]
    return "## Summary\n\n" + bullets(filter(None, lines))
