"""Reports looked at again: against their source, and two studies beside each other. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from ablate.errors import SpecError
from ablate.reporting.evidence.two_studies import compare_studies
from ablate.reporting.text.two_studies_text import comparison_text
from ablate.reporting.verify import Finding, report_source, verify_report
from ablate.tracking.records import PublishedStudy
from ablate.workflow.after.pictures import kept
from ablate.workflow.folders import Places, grid_name
from ablate.workflow.stores import open_store


def verify_folder(places: Places, folder: Path) -> list[Finding]:
    """Return every place where the report in `folder` and the tracking store disagree. Raises SpecError for no report, StoreError where the study is gone."""
    source = report_source(folder)
    store = open_store(places, source.grid_name)
    study = store.read_study(source.grid_name, source.study_id)
    pilot = (
        None
        if study.record.pilot is None
        else store.read_study(source.grid_name, study.record.pilot.study_id)
    )
    return verify_report(
        study,
        predictions=store.read_predictions,
        folder=folder,
        pilot=pilot,
        pictures=lambda _: kept(store, study.parent_run_id),
    )


def compare_grids(places: Places, first: str, second: str) -> str:
    """Markdown that compares the newest studies of two grids; a name may be `GRID@STUDY` for an older one. Raises SpecError where they are the same."""
    studies = [_study(places, name) for name in (first, second)]
    if studies[0].parent_run_id == studies[1].parent_run_id:
        raise SpecError(
            f"GRID_A and GRID_B must be two studies, got {first!r} and {second!r}; write GRID@STUDY to name one of several studies of a grid"
        )
    return comparison_text(compare_studies(*studies), first=first, second=second)


def _study(places: Places, name: str) -> PublishedStudy:
    study_id: str | None
    grid, mark, study_id = name.rpartition("@")
    if not mark or "/" in study_id:  # an @ in a folder's name
        grid, study_id = name, None
    grid_of_study = grid_name(grid)
    if study_id == "":
        raise SpecError(
            f"GRID@STUDY must name a study after the @, got {name!r}; leave the @ out for the newest"
        )
    return open_store(places, grid_of_study).read_study(grid_of_study, study_id)
