"""A study's arms as the table of a paper. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable

from ablate.reporting.compute import compute_results
from ablate.reporting.text.paper_table import (
    PaperTable,
    as_csv,
    as_latex,
    as_markdown,
    paper_table,
)
from ablate.workflow.folders import Folders
from ablate.workflow.stores import open_store, read_whole_study

FORMS: dict[str, Callable[[PaperTable], str]] = {
    "latex": as_latex,
    "markdown": as_markdown,
    "csv": as_csv,
}


def study_table(folders: Folders, *, grid_name: str, study_id: str | None = None) -> PaperTable:
    """The table of a published study, by default the grid's newest.

    Raises SpecError where there is none.
    """
    store = open_store(folders, grid_name)
    study = read_whole_study(folders, store, study_id=study_id)
    return paper_table(compute_results(study, store.read_predictions))
