"""The report on its best arm: how it learned, and what it gets wrong."""

from __future__ import annotations

from ablate.reporting.results import Results, ShowFigure
from ablate.reporting.text.markdown import join_sections

_UNREAD = "Not measured: no predictions of a best arm could be read."
_NO_CURVES = "Not measured: no complete trial published its epochs."


def curves_section(_results: Results, show: ShowFigure) -> str:
    """The figure of learning curves."""
    return f"## Learning curves\n\n{show('learning_curves') or _NO_CURVES}"


def errors_section(results: Results, show: ShowFigure) -> str:
    """What the task shows of the best arm's errors."""
    # a section that is there in every report: a missing one would look like an arm without errors
    parts = results.insight.error_parts(results, show) or [_UNREAD]
    return join_sections(["## Errors of the best arm", *parts]).rstrip()
