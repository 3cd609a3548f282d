"""What came before a study's trials, a search or a tuning: shown, and kept out of conclusions."""

from __future__ import annotations

from ablate.reporting.pages.sections.search_section import search_section
from ablate.reporting.pages.sections.tuning_section import tuning_section
from ablate.reporting.results import Results, ShowFigure


def pilot_section(results: Results, _show: ShowFigure) -> str:
    """The section, or nothing for a study without a pilot."""
    # how the arms were found: before the arms themselves
    pilot = results.record.pilot
    if pilot is None:
        return ""
    if pilot.kind == "search":
        return search_section(results, pilot)
    return tuning_section(results, pilot)
