"""What is made of a study that was run: its report, its state, the UI. Needs no torch."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ablate.errors import StoreError
from ablate.reporting.examples import Pictures
from ablate.reporting.tables import arm_frame, trial_frame
from ablate.reporting.write import ReportPaths, write_report
from ablate.tracking.links import compare_url
from ablate.tracking.records import PublishedStudy
from ablate.workflow.pictures import made_or_kept
from ablate.workflow.settings import Places
from ablate.workflow.stores import open_store, read_whole_study

_LOG = logging.getLogger(__name__)
OVERVIEW = ("val/macro_f1", "test/macro_f1", "test/auroc_ovr_macro", "test/average_precision")


def report_study(
    places: Places, *, grid_name: str, study_id: str | None, report_dir: Path, has_images: bool = True, take: Pictures | None = None
) -> tuple[PublishedStudy, ReportPaths]:
    """Write the report of a published study (the newest of the grid where `study_id` is None), and leave it with the study's run.

    `take` makes the small images that the report shows, for a study that was just run; they are kept with the study, where a later report finds them.
    Without `has_images` none are made or shown. Raises SpecError where there is no study.
    """
    store = open_store(places, grid_name)
    study = read_whole_study(places, store, study_id=study_id)
    paths = write_report(
        study, predictions=store.read_predictions, out=report_dir, pictures=made_or_kept(store, study.parent_run_id, take) if has_images else None
    )
    summary = paths.readme.read_text().partition("## Arms")[0]
    try:
        store.log_report(study.parent_run_id, report_dir, note=f"{summary}\nThe whole report: artifact `report/report.html`.")
    except StoreError as error:  # the report stands all the same
        _LOG.warning("%s", error)
    return study, paths


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


def serve_ui(places: Places, *, grid_name: str, port: int, say: Callable[[str], None]) -> int:
    """Run MLflow's UI on 127.0.0.1 until it is stopped; return its exit code. Raises StoreError where the port is taken or the store is a server of its own."""
    if places.tracking_uri.startswith("http"):
        raise StoreError(f"the tracking store is a server already: open {places.tracking_uri}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise StoreError(f"port {port} must be free on 127.0.0.1, but something listens there; choose another: make ui ARGS='--port {port + 1}'") from None
    store = open_store(places, grid_name)  # without a grid as well: the server must find a whole store
    base = f"http://127.0.0.1:{port}"
    say(f"MLflow UI: {base}   (stop it with Ctrl-C)")
    if grid_name:
        study = store.read_study(grid_name)
        say(f"runs of {grid_name}: {base}/#/experiments/{study.experiment_id}/runs?workflowType=machine_learning")
        say(f"compare its trials: {compare_url(base, study)}")
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--backend-store-uri",
        places.tracking_uri,
        "--workers",
        "1",
    ]
    return subprocess.call(command)  # noqa: S603  a fixed command, no shell


def _mean_sd(values: pd.Series[float]) -> str:
    known = values.dropna()
    if known.empty:
        return "-"
    return f"{known.mean():.3f}" + (f" ± {known.std(ddof=1):.3f}" if len(known) > 1 else "")
