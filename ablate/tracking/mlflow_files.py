"""The files of a run: where they lie, which of them are there, and copies of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from mlflow import MlflowClient, artifacts
from mlflow.entities import Run

from ablate.errors import StoreError
from ablate.in_order import absent
from ablate.tracking.store_file import local_path

# What the store itself writes with a run.
CURVES = "curves.json"
STUDY = "study.json"
SPEC = "spec.json"
FAILURE = "failure.txt"
# The store makes these tables of predictions: a journal does not know them.
_CONFUSION = "confusion_"


class LackingFile(StoreError):
    """A run lacks a file that it must hold, or it cannot be read."""


class RunFiles:
    """The files of a store's runs."""

    def __init__(self, client: MlflowClient, tracking_uri: str, *, grid_name: str) -> None:
        self._client = client
        self._tracking_uri = tracking_uri
        self._grid_name = grid_name

    def text(self, run: Run, name: str) -> str:
        """A file's text. Raises LackingFile where it cannot be read."""
        with tempfile.TemporaryDirectory(prefix="ablate-") as scratch:
            return self.fetch(run, name, into=Path(scratch)).read_text()

    def fetch(self, run: Run, name: str, *, into: Path) -> Path:
        """Path of a run's file: where it lies, or a copy in `into`.

        Raises LackingFile where it cannot be read.
        """
        # Read where it lies: MLflow would copy a local file too, and a report reads hundreds.
        folder = _local_folder(run)
        if folder is not None:
            if (folder / name).is_file():
                return folder / name
            raise self._lacking(run, name, "there is no such file")
        # From a server or a bucket: whatever MLflow can reach.
        uri = f"{run.info.artifact_uri}/{name}"
        try:
            copied = artifacts.download_artifacts(
                artifact_uri=uri, dst_path=str(into), tracking_uri=self._tracking_uri
            )
            return Path(copied)
        except Exception as error:  # MLflow lets through whatever its libraries raise
            why = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise self._lacking(run, name, why) from error

    def _lacking(self, run: Run, name: str, why: str) -> LackingFile:
        return LackingFile(
            f"the run {run.info.run_id} must hold {name}, which could not be read from "
            f"{run.info.artifact_uri}: {why}; "
            f"ablate sync {self._grid_name} writes it again where the study's journal is, "
            "else put the file back there."
        )

    def copy(self, run: Run, name: str, *, into: Path) -> None:
        """Copy a file into a folder. Raises LackingFile where it cannot be read."""
        path = self.fetch(run, name, into=into)
        if path != into / name:
            shutil.copyfile(path, into / name)

    def lacking(self, run: Run, names: Iterable[str]) -> list[str]:
        """Which of `names` are not there. Files on a server cost one request per run."""
        folder = _local_folder(run)
        if folder is not None:
            return [name for name in names if not (folder / name).is_file()]
        there = set()
        for file in self._client.list_artifacts(run.info.run_id):
            there.add(file.path)
        return absent(names, among=there)

    def left_by_trial(self, run: Run) -> tuple[str, ...]:
        """Names of the files that the run's trial left, without what the store made of them."""
        left = []
        for file in self._client.list_artifacts(run.info.run_id):
            is_made = file.path in (CURVES, STUDY, SPEC, FAILURE)
            if not (file.is_dir or is_made or file.path.startswith(_CONFUSION)):
                left.append(file.path)
        return tuple(left)


def _local_folder(run: Run) -> Path | None:
    """The folder of a run's files, where it is one of this machine's."""
    uri = run.info.artifact_uri
    if uri.startswith("file:"):
        return local_path(uri)
    return None  # mlflow-artifacts:, s3: and the like
