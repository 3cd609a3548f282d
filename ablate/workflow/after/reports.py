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

from ablate.errors import StoreError
from ablate.in_order import present
from ablate.reporting.evidence.frames import arm_frame, trial_frame
from ablate.reporting.figures.example_images import Pictures
from ablate.reporting.pages.folder import check_purpose
from ablate.reporting.pages.write import ReportPaths, write_report
from ablate.reporting.report_record import read_report_record
from ablate.reporting.text.note import study_note
from ablate.study.record import StudyRecord
from ablate.study.tasks import task_of
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.records import PublishedStudy
from ablate.workflow.after.pictures import made_or_kept
from ablate.workflow.after.report_folder import check_not_itself, other_purposes
from ablate.workflow.folders import Folders
from ablate.workflow.stores import open_store, read_whole_study

_LOG = logging.getLogger(__name__)


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
    check_not_itself(folders, report_dir)
    # Before the store is opened, which takes seconds.
    check_purpose(report_dir, other_purposes(folders))
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


def arms_overview(study: PublishedStudy) -> pd.DataFrame:
    """One row per arm, as text: mean +- SD over seeds of the main scores, the best by val first."""
    trials = trial_frame(study)
    main = main_scores(study.record)
    # Where nothing completed yet, two columns stay, and are empty.
    shown = present(main, among=trials) or main[:2]
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
