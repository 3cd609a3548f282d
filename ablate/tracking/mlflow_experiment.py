"""One grid's experiment in a tracking store: opening it, and finding runs in it.

Imported by the store, which sets mlflow up first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from ablate.errors import AblateError, StoreError
from ablate.tracking import mlflow_fields
from ablate.tracking.connectivity import check_uri, without_password
from ablate.tracking.databases import artifact_location, check_driver
from ablate.tracking.mlflow_files import RunFiles
from ablate.tracking.mlflow_runs import first_line
from ablate.tracking.mlflow_tables import prepare_file, unopened

# Runs in one answer of the store.
_PAGE = 500
# MLflow's UI opens an experiment without a kind on a page for traces of language models.
_OPENS_ON_RUNS = {"mlflow.experimentKind": "custom_model_development"}


class Experiment:
    """Opened by the first call that needs it; made by the first that writes."""

    def __init__(self, tracking_uri: str, grid_name: str, *, artifact_root: Path | None) -> None:
        """See `artifact_location` for `artifact_root`."""
        self.tracking_uri = tracking_uri
        self.grid_name = grid_name
        self._artifact_root = artifact_root
        # Of the study that was read last: where the files of its runs lie.
        self._runs: dict[str, Run] = {}

    @cached_property
    def client(self) -> Any:
        """MLflow's client, once the store's file is made and whole."""
        prepare_file(self.tracking_uri)
        return MlflowClient(tracking_uri=self.tracking_uri)

    @cached_property
    def files(self) -> RunFiles:
        """The files of its runs."""
        return RunFiles(self.client, self.tracking_uri, grid_name=self.grid_name)

    @cached_property
    def experiment_id(self) -> str:
        """MLflow's id of it; it is made where it is missing."""
        experiment = self.client.get_experiment_by_name(self.grid_name)
        if experiment is not None:
            return str(experiment.experiment_id)
        location = artifact_location(self.tracking_uri, self.grid_name, root=self._artifact_root)
        return str(
            self.client.create_experiment(
                self.grid_name, artifact_location=location, tags=_OPENS_ON_RUNS
            )
        )

    @property
    def exists(self) -> bool:
        """Whether it was made already."""
        return self.client.get_experiment_by_name(self.grid_name) is not None

    def check_reachable(self) -> None:
        """Return when runs can be written; raise StoreError within seconds when they cannot."""
        # From the cheapest question to the dearest: the client alone would try for minutes.
        check_driver(self.tracking_uri)
        check_uri(self.tracking_uri)
        try:
            experiment = self.client.get_experiment_by_name(self.grid_name)
        except Exception as error:  # MLflow lets through whatever its libraries raise
            raise unopened(self.tracking_uri, error, grid_name=self.grid_name) from error
        if experiment is not None and experiment.lifecycle_stage != "active":
            raise StoreError(
                f"the experiment {self.grid_name!r} must not be deleted in "
                f"{without_password(self.tracking_uri)!r}; "
                "restore it there, or give the grid file another name."
            )

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Turn whatever the store's client raises in the block into a StoreError.

        A server can go away at any moment.
        """
        try:
            yield
        # It has its own words for what is wrong.
        except AblateError:
            raise
        except Exception as error:
            raise StoreError(
                f"the tracking store must answer, {without_password(self.tracking_uri)!r} did "
                f"not: {first_line(error)}"
            ) from error

    def search(self, tag: str, value: str, *, kind: str) -> list[Run]:
        """Its runs of a `kind` (study, pilot, trial) whose `tag` has a value, newest first."""
        condition = f"tags.`{mlflow_fields.KIND}` = '{kind}' AND tags.`{tag}` = '{value}'"
        return list(self._pages(condition))

    def remember(self, runs: Iterable[Run]) -> None:
        """Keep the runs of a study, in the place of any former one, for `run`."""
        # Runs that have ended do not change, and one search brings five hundred of them.
        self._runs = {run.info.run_id: run for run in runs}

    def run(self, run_id: str) -> Run:
        """A run by its id, as it was when it was remembered."""
        return self._runs.get(run_id) or self.client.get_run(run_id)

    def _pages(self, condition: str) -> Iterator[Run]:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], filter_string=condition, max_results=_PAGE, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return
