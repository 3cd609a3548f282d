"""Help for tests of reports."""

from __future__ import annotations

import re
from typing import Any

from ablate.reporting.compute import compute_results
from ablate.reporting.figures.choose import choose_pictures
from ablate.reporting.pages.readme import report_text


def no_figures(_name: str) -> str:
    """What shows figures where none was drawn, see `results.ShowFigure`."""
    return ""


def text_of(published: Any) -> str:
    """README.md of a study, as the fixtures of `tests/reporting/conftest.py` make it."""
    results = compute_results(published.study, published.predictions)
    return report_text(results, choose_pictures(results))


def section(text: str, title: str) -> str:
    """The part of a README below the heading `title`.

    Up to the next heading of its level, or to where what is folded ends.
    """
    return re.split(r"\n## |\n</details>", text.split(f"\n## {title}\n")[1])[0]
