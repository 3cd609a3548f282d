"""What is made of a study that was run: its report and its overview. Needs no torch."""

from __future__ import annotations

import gc
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from ablate.errors import ReportError, StoreError
from ablate.grid.grid_file import Grid
from ablate.reporting.evidence.frames import arm_frame, trial_frame
from ablate.reporting.figures.example_images import Pictures
from ablate.reporting.pages.folder import check_folder, check_purpose
from ablate.reporting.pages.write import ReportPaths, write_report
from ablate.reporting.report_record import read_report_record
from ablate.reporting.text.note import study_note
from ablate.study.record import StudyRecord
from ablate.study.tasks import task_of
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.records import PublishedStudy
from ablate.workflow.after.pictures import made_or_kept
from ablate.workflow.folders import Folders
from ablate.workflow.stores import open_store, read_whole_study

_LOG = logging.getLogger(__name__)
HOME_FOLDERS = ("activations", "artifacts", "data", "images", "looks", "studies", "views")
"""Folders that ABLATE_HOME may hold."""


def report_study(
    folders: Folders,
    *,
    grid_name: str,
    study_id: str | None,
    report_dir: Path,
    has_images: bool = True,
    take: Pictures | None = None,
) -> tuple[PublishedStudy, ReportPaths]:
    """Write the report of a published study, and leave it with the study's run.

    `study_id` None is the newest study of the grid. `take` makes the small images that the report
    shows, for a study that was just run; they are kept with the study, where a later report finds
    them. Without `has_images` none are made or shown. Raises SpecError where there is no study.
    """
    _check_not_itself(folders, report_dir)
    # Before the store is opened, which takes seconds.
    check_purpose(report_dir, _other_purposes(folders))
    try:
        store = open_store(folders, grid_name)
        with _without_collections():
            study = read_whole_study(folders, store, study_id=study_id)
            pictures = None
            if has_images:
                pictures = made_or_kept(store, study.parent_run_id, take)
            # Whoever reads the folder meanwhile sees whole files: see `write_report`.
            paths = write_report(
                study, predictions=store.read_predictions, out=report_dir, pictures=pictures
            )
    except OSError as error:
        raise StoreError(
            "a report needs room for what it reads and draws, "
            f"{error.filename or 'the disk'} has none: {error.strerror or error}"
        ) from error
    try:
        _upload(store, study, paths, report_dir)
    except (StoreError, OSError) as error:  # the report stands all the same
        _LOG.warning("%s", error)
    return study, paths


@contextmanager
def _without_collections() -> Iterator[None]:
    """Look for no garbage meanwhile.

    Of the many objects that a study's runs are read into nearly all stay: to look through them,
    and through all that a process holds which has just trained, took two thirds of the reading.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _upload(
    store: MlflowStore, study: PublishedStudy, paths: ReportPaths, report_dir: Path
) -> None:
    """Leave the files that were just written with the study's run, and nothing that lies beside.

    Raises StoreError, OSError.
    """
    record = read_report_record(report_dir)
    assert record is not None  # it was just written
    with tempfile.TemporaryDirectory(prefix="ablate-") as scratch:
        # MLflow uploads whole folders: a copy of what was written keeps the user's files out.
        for path in paths.files:
            copy = Path(scratch) / path.relative_to(report_dir)
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, copy)
        store.log_report(
            study.parent_run_id,
            Path(scratch),
            note=study_note(record),
        )


def check_report_folder(folders: Folders, report_dir: Path, grid: Grid) -> None:
    """Make sure, before anything is started, that the grid's report may be written there.

    Writes nothing. Raises StoreError for a folder with files of the user, of another grid's report,
    or with another purpose.
    """
    others = _other_purposes(folders)
    if grid.data.path is not None:
        others["the folder of the images"] = folders.data_dir / grid.data.path
    _check_not_itself(folders, report_dir)
    check_folder(report_dir, grid_name=grid.name, others=others)


def _other_purposes(folders: Folders) -> dict[str, Path]:
    """Folders that must not become a report's, nor hold it."""
    others = {}  # what the folder is -> its path
    for name in HOME_FOLDERS:
        others[f"{name}/ of ABLATE_HOME"] = folders.home / name
    # A data folder that holds the whole working folder would forbid every report.
    if Path.cwd().is_relative_to(folders.data_dir.resolve()):
        return others
    return {"the data folder": folders.data_dir, **others}


def _check_not_itself(folders: Folders, report_dir: Path) -> None:
    # resolve: a link to the home is the home.
    for what, folder in (("ABLATE_HOME", folders.home), ("the data folder", folders.data_dir)):
        if report_dir.resolve() == folder.resolve():
            raise StoreError(
                f"the report folder must not be {what} itself, {report_dir} is; "
                "name another report folder"
            )


@contextmanager
def results_kept(*, again: str) -> Iterator[None]:
    """Turn what goes wrong after the trials into an error that names the way on.

    `again` is the command that repeats the block. Raises ReportError for a folder, a disk or a
    store that fails.
    """
    try:
        yield
    except OSError as error:
        what = f"{error.filename or 'the disk'}: {error.strerror or error}"
        raise ReportError(
            f"all trials that completed are kept, but {what}; once that is mended: {again}"
        ) from error
    except StoreError as error:
        raise ReportError(
            f"all trials that completed are kept, but {error}; once that is mended: {again}"
        ) from error


def arms_overview(study: PublishedStudy) -> pd.DataFrame:
    """One row per arm, as text: mean +- SD over seeds of the main scores, the best by val first."""
    trials = trial_frame(study)
    main = main_scores(study.record)
    # Where nothing completed yet, two columns stay, and are empty.
    shown = [name for name in main if name in trials] or main[:2]
    rows = []
    for arm in arm_frame(study, trials).to_dict("records"):
        of_arm = trials[trials["arm_id"] == arm["arm_id"]]
        mark = ""
        if arm["is_baseline"]:
            mark = " (baseline)"
        row: dict[str, object] = {"arm": f"{arm['arm']}{mark}"}
        for name in shown:
            row[name] = "-"
            if name in of_arm:
                row[name] = _mean_sd(of_arm[name])
        row["seeds"] = int(arm["n_seeds"])
        rows.append(row)
    return pd.DataFrame(rows)


def main_scores(record: StudyRecord) -> list[str]:
    """The primary metric on val, then the test scores that the console has room for."""
    task = task_of(record.task)
    scores = [f"val/{task.primary}", f"test/{task.primary}", f"test/{task.secondary}"]
    # Average precision of two classes and the like: where they exist, they are what is looked for.
    for metric in task.metrics:
        if metric.n_classes is not None:
            scores.append(f"test/{metric.name}")
    return scores


def _mean_sd(values: pd.Series[float]) -> str:
    known = values.dropna()
    if known.empty:
        return "-"
    mean = f"{known.mean():.3f}"
    if len(known) == 1:  # one seed has no spread
        return mean
    return f"{mean} ± {known.std(ddof=1):.3f}"
