"""What is made of a study that was run: its report and its overview. Needs no torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ablate.errors import StoreError
from ablate.reporting.examples import ImageKey, Pictures, Thumbnails
from ablate.reporting.tables import arm_frame, trial_frame
from ablate.reporting.write import ReportPaths, write_report
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.records import PublishedStudy
from ablate.workflow.settings import Places

_LOG = logging.getLogger(__name__)
OVERVIEW = ("val/macro_f1", "test/macro_f1", "test/auroc_ovr_macro", "test/average_precision")


def report_study(
    places: Places, *, grid_name: str, study_id: str | None, report_dir: Path, has_images: bool = True, take: Pictures | None = None
) -> tuple[PublishedStudy, ReportPaths]:
    """Write the report of a published study (the newest of the grid where `study_id` is None), and leave it with the study's run.

    `take` makes the small images that the report shows, for a study that was just run; they are kept with the study, where a later report finds them.
    Without `has_images` none are made or shown. Raises SpecError where there is no study.
    """
    store = MlflowStore(places.tracking_uri, grid_name)
    study = _published(store, grid_name, study_id=study_id)
    paths = write_report(study, predictions=store.read_predictions, out=report_dir, pictures=_pictures(store, study, take) if has_images else None)
    summary = paths.readme.read_text().partition("## Arms")[0]
    try:
        store.log_report(study.parent_run_id, report_dir, note=f"{summary}\nThe whole report: artifact `report/report.html`.")
    except StoreError as error:  # the report stands all the same
        _LOG.warning("%s", error)
    return study, paths


def _pictures(store: MlflowStore, study: PublishedStudy, take: Pictures | None) -> Pictures:
    """Small images: made anew and kept, or those that were kept."""

    def made(wanted: Sequence[ImageKey]) -> Thumbnails:
        thumbnails = {} if take is None else take(wanted)
        if thumbnails:
            store.log_thumbnails(study.parent_run_id, thumbnails)
        return thumbnails or store.read_thumbnails(study.parent_run_id)

    return made


def arms_overview(study: PublishedStudy) -> pd.DataFrame:
    """One row an arm, as text: mean +- SD over seeds of macro F1 and AUROC, the best by val first."""
    trials = trial_frame(study)
    arms = arm_frame(study, trials)
    rows = []
    for arm in arms.itertuples(index=False):
        own = trials[trials["arm_id"] == arm.arm_id]
        mark = " (baseline)" if arm.arm_id == study.record.baseline_arm_id else ""
        rows.append(
            {"arm": f"{arm.arm}{mark}", **{name: _mean_sd(own[name]) for name in OVERVIEW if name in own}, "seeds": int(own["val/macro_f1"].notna().sum())}
        )
    return pd.DataFrame(rows)


def _published(store: MlflowStore, grid_name: str, *, study_id: str | None) -> PublishedStudy:
    store.check_reachable()
    return store.read_study(grid_name, study_id)


def _mean_sd(values: pd.Series[float]) -> str:
    known = values.dropna()
    if known.empty:
        return "-"
    return f"{known.mean():.3f}" + (f" ± {known.std(ddof=1):.3f}" if len(known) > 1 else "")
