"""MLflow as the door to reporting: a study's events become runs, and are read back.

Only the modules `mlflow_*.py` import mlflow, and this one before the others: it sets mlflow up.
experiment = grid name; parent run = study; child run = one attempt of a trial.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

# Read by mlflow when it is imported, hence before.
for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the publisher has its own patience
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # the library prints nothing
}.items():
    os.environ.setdefault(_name, _value)

from ablate.errors import StoreError  # noqa: E402
from ablate.study.record import StudyRecord  # noqa: E402
from ablate.study.trial import Trial  # noqa: E402
from ablate.tracking import mlflow_fields  # noqa: E402
from ablate.tracking.artifacts import (  # noqa: E402
    PREDICTIONS,
    read_predictions,
    read_thumbnails,
    write_thumbnails,
)
from ablate.tracking.events import Event  # noqa: E402
from ablate.tracking.mlflow_experiment import Experiment  # noqa: E402
from ablate.tracking.mlflow_model import (  # noqa: E402
    ModelNeeds,
    fetch_model,
    has_model,
    log_model,
)
from ablate.tracking.mlflow_publication import Publication  # noqa: E402
from ablate.tracking.mlflow_reading import (  # noqa: E402
    lacks_predictions,
    read_attempts,
    read_record,
    read_study,
)
from ablate.tracking.mlflow_runs import first_line  # noqa: E402
from ablate.tracking.records import PublishedAttempt, PublishedRun, PublishedStudy  # noqa: E402

# What they warn of, and the migrations of tables that they report, is nobody's who trains models.
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)

MODEL = "model"
REPORT = "report"
THUMBNAILS = "thumbnails.parquet"


class MlflowStore:
    """One grid's experiment in a tracking store. Not for several threads at once."""

    def __init__(
        self, tracking_uri: str, grid_name: str, *, artifact_root: Path | None = None
    ) -> None:
        """Name the store; nothing is opened before the first call.

        See `artifact_location` for `artifact_root`.
        """
        self.tracking_uri = tracking_uri
        self.grid_name = grid_name
        self._experiment = Experiment(tracking_uri, grid_name, artifact_root=artifact_root)
        # Writing is a conversation with memory (what was begun, what is known), reading is not.
        self._publication = Publication(self._experiment)

    def check_reachable(self) -> None:
        """Return when runs can be written.

        Raises StoreError within seconds when the store cannot be used.
        """
        self._experiment.check_reachable()

    # While a study runs. What these raise, the publisher hears.

    def start_study(self, record: StudyRecord, tags: Mapping[str, str]) -> str:
        """Make or find the study's parent run, set it RUNNING and return its id.

        `tags` (commit, versions, ...) go on it and on the runs that follow.
        """
        return self._publication.start(record, tags)

    def publish(
        self, event: Event, *, trial: Trial, folder: Path, tags: Mapping[str, str] | None = None
    ) -> None:
        """Publish one event of `trial`, whose attempt left its files in `folder`.

        `tags` go on a run that is made now, in the place of those of `start_study`. Publishing the
        same events again, in their order, changes nothing.
        """
        self._publication.publish(event, trial=trial, folder=folder, tags=tags)

    def rest(self) -> None:
        """Write what `publish` holds back of attempts that go on."""
        self._publication.rest()

    def close_stale(self) -> int:
        """Close as KILLED every run of the study of which nobody knows the end; return how many."""
        return self._publication.close_stale()

    def finish_study(self, status: str = "FINISHED") -> None:
        """Close the parent run: FINISHED, FAILED (some trial failed) or KILLED (interrupted)."""
        self._publication.finish(status)

    # After a study. All raise StoreError where the store does not answer.

    def log_report(self, parent_run_id: str, folder: Path, *, note: str) -> None:
        """Put a report's folder under `report/` of the parent run.

        `note` (Markdown) goes where the UI shows a run's description.
        """
        try:
            client = self._experiment.client
            client.log_artifacts(parent_run_id, str(folder), artifact_path=REPORT)
            client.set_tag(parent_run_id, mlflow_fields.NOTE, note[: mlflow_fields.TAG_LENGTH])
        except Exception as error:
            raise StoreError(
                f"the study's run {parent_run_id} must take its report, it did not: "
                f"{first_line(error)}"
            ) from error

    def log_thumbnails(
        self, parent_run_id: str, thumbnails: Mapping[tuple[str, str], np.ndarray]
    ) -> None:
        """Keep small versions of the images that a report shows, with the parent run.

        (split, image_id) -> (H, W, 3) uint8.
        """
        with (
            self._experiment.answering(),
            tempfile.TemporaryDirectory(prefix="ablate-") as scratch,
        ):
            path = Path(scratch, THUMBNAILS)
            write_thumbnails(path, thumbnails)
            self._experiment.client.log_artifact(parent_run_id, str(path))

    def read_thumbnails(self, parent_run_id: str) -> dict[tuple[str, str], np.ndarray]:
        """Inverse of `log_thumbnails`; nothing where none were kept."""
        with (
            self._experiment.answering(),
            tempfile.TemporaryDirectory(prefix="ablate-") as scratch,
        ):
            files = self._experiment.files
            run = self._experiment.client.get_run(parent_run_id)
            if files.lacking(run, (THUMBNAILS,)):
                return {}
            return read_thumbnails(files.fetch(run, THUMBNAILS, into=Path(scratch)))

    def log_champion(
        self,
        run_id: str,
        *,
        folder: Path,
        loader_module: str,
        n_classes: int,
        requirements: Sequence[str],
        code_paths: Sequence[Path] = (),
    ) -> str:
        """Log the files of `folder` as a complete pyfunc model of a run and return its URI.

        `models:/<id>`; a run that has its model already keeps it. `loader_module` names a module
        with `_load_pyfunc(data_path)`; its `predict` takes images uint8 (B, H, W, 3) and returns
        probabilities float32 (B, n_classes). `requirements` are pip requirements; `code_paths` are
        folders of source that travel with the model.
        """
        with self._experiment.answering():
            client = self._experiment.client
            run = client.get_run(run_id)
            logged = str(run.data.tags.get(mlflow_fields.CHAMPION, ""))
            # The tag alone would do, but for models that somebody deleted.
            if logged and has_model(client, logged):
                return logged
            # By the client of this store, for this run: MLflow's own `log_model` writes to an
            # active run.
            needs = ModelNeeds(loader_module, tuple(requirements), tuple(code_paths))
            uri = log_model(
                client, run, name=MODEL, folder=folder, needs=needs, n_classes=n_classes
            )
            # Last: a call that is cut short leaves a model that no run names, and the next makes
            # another.
            client.set_tag(run_id, mlflow_fields.CHAMPION, uri)
            return uri

    def fetch_champion(self, run_id: str, *, into: Path) -> Path | None:
        """Folder of the model that `log_champion` logged for a run, or a copy; None without one."""
        with self._experiment.answering():
            client = self._experiment.client
            logged = str(client.get_run(run_id).data.tags.get(mlflow_fields.CHAMPION, ""))
            if not logged or not has_model(client, logged):
                return None
            return fetch_model(client, logged, tracking_uri=self.tracking_uri, into=into)

    # Reading a study back. All raise StoreError where the store does not answer.

    def read_study(self, grid_name: str, study_id: str | None = None) -> PublishedStudy:
        """Return a grid's newest study, or the one named.

        It holds the newest attempt of each trial, a complete one before any other. Runs come in the
        order of the record's arms and seeds; runs of arms and seeds that the record no longer holds
        are left out. Raises StoreError when there is no such study.
        """
        if grid_name != self.grid_name:
            return MlflowStore(self.tracking_uri, grid_name).read_study(grid_name, study_id)
        self.check_reachable()
        with self._experiment.answering():
            return read_study(self._experiment, study_id)

    def read_record(self, study_id: str) -> StudyRecord | None:
        """What a study of the grid is, without its runs; None where the store holds no such study.

        None also where its file is gone. Raises StoreError where the store does not answer.
        """
        with self._experiment.answering():
            return read_record(self._experiment, study_id)

    def read_predictions(self, run: PublishedRun) -> pd.DataFrame:
        """Return a run's predictions: columns split, image_id, label, p_0 ...

        Raises StoreError when the run has none.
        """
        with (
            self._experiment.answering(),
            tempfile.TemporaryDirectory(prefix="ablate-") as scratch,
        ):
            published = self._experiment.run(run.run_id)
            path = self._experiment.files.fetch(published, PREDICTIONS, into=Path(scratch))
            return read_predictions(path)

    def lacks_files(self, study: PublishedStudy) -> bool:
        """Whether files that a report reads are gone from a study's runs.

        `ablate.scheduling.catch_up` writes them again where the study's journal is.
        """
        complete = [run.run_id for run in study.runs if run.status == "COMPLETE"]
        with self._experiment.answering():
            return lacks_predictions(self._experiment, complete)

    def read_attempts(
        self, study_id: str, *, states: Container[str], but: Container[str]
    ) -> tuple[PublishedAttempt, ...]:
        """The attempts of a study that ended in one of `states`, oldest first.

        Those of the trials in `but` are left out, and runs of another version whose trial is
        another one now; with a warning also those whose files cannot be read. Their events are made
        again of their runs.
        """
        with self._experiment.answering():
            return read_attempts(self._experiment, study_id, states=states, but=but)

    def fetch_files(self, attempt: PublishedAttempt, into: Path) -> None:
        """Copy what an attempt left into a folder, which is made.

        Raises StoreError for a file that cannot be read.
        """
        with self._experiment.answering():
            into.mkdir(parents=True, exist_ok=True)
            run = self._experiment.run(attempt.run_id)
            for name in attempt.files:
                self._experiment.files.copy(run, name, into=into)
