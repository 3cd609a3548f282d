"""Reports checked against their source, and two studies beside each other. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from ablate.errors import SpecError
from ablate.reporting.differences import Finding
from ablate.reporting.evidence.two_studies import StudyComparison, compare_studies
from ablate.reporting.verify_report import report_source, verify_report
from ablate.tracking.records import PublishedStudy
from ablate.workflow.after.pictures import kept
from ablate.workflow.folders import Folders
from ablate.workflow.grid_names import grid_name
from ablate.workflow.stores import open_store


def verify_folder(folders: Folders, report_dir: Path) -> list[Finding]:
    """Return every place where a report and the tracking store disagree.

    Raises SpecError where the folder holds no report, StoreError where the study is gone.
    """
    source = report_source(report_dir)
    store = open_store(folders, source.grid_name)
    study = store.read_study(source.grid_name, source.study_id)
    # A pilot is a study of its own in the store, with runs of its own.
    pilot = None
    if study.record.pilot is not None:
        pilot = store.read_study(source.grid_name, study.record.pilot.study_id)
    return verify_report(
        study,
        predictions=store.read_predictions,
        folder=report_dir,
        pilot=pilot,
        pictures=lambda _: kept(store, study.parent_run_id),
    )


def compare_grids(folders: Folders, first: str, second: str) -> StudyComparison:
    """Compare the newest studies of two grids; a name may be `GRID@STUDY` for an older one.

    Raises SpecError where they are the same.
    """
    a = _study(folders, first)
    b = _study(folders, second)
    # By the run: two names can lead to one study, as `flowers` and `experiments/flowers.yaml` do.
    if a.parent_run_id == b.parent_run_id:
        raise SpecError(
            f"GRID_A and GRID_B must be two studies, got {first!r} and {second!r}; "
            "write GRID@STUDY to name one of several studies of a grid"
        )
    return compare_studies(a, b)


def _study(folders: Folders, name: str) -> PublishedStudy:
    study_id: str | None
    grid, mark, study_id = name.rpartition("@")
    if not mark or "/" in study_id:  # an @ in a folder's name
        grid, study_id = name, None
    if study_id == "":
        raise SpecError(
            f"GRID@STUDY must name a study after the @, got {name!r}; "
            "leave the @ out for the newest"
        )
    # Without its suffix or folder, as MLflow's experiment is called.
    grid_of_study = grid_name(grid)
    return open_store(folders, grid_of_study).read_study(grid_of_study, study_id)
