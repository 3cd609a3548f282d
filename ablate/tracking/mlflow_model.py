"""A trained network as a complete MLflow model: files, loader, signature and what it needs.

Imported by the store, which sets mlflow up first.
"""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mlflow import MlflowClient, artifacts, pyfunc
from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Run
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from ablate.tracking.store_file import local_path


@dataclass(frozen=True, slots=True)
class ModelNeeds:
    """What loads a model."""

    loader_module: str
    """Has `_load_pyfunc(data_path)`; what that returns predicts probabilities (B, n_classes)
    float32 from images (B, H, W, 3) uint8."""
    requirements: tuple[str, ...]
    """pip requirements."""
    code_paths: tuple[Path, ...]
    """Folders of source that travel with the model."""


def log_model(
    client: MlflowClient, run: Run, *, name: str, folder: Path, needs: ModelNeeds, n_classes: int
) -> str:
    """Log the files of `folder` as a pyfunc model of a run and return its URI, `models:/<id>`."""
    # By the client, not by `pyfunc.log_model`: that writes to the run and the store of the process.
    logged = client.create_logged_model(
        run.info.experiment_id,
        name=name,
        source_run_id=run.info.run_id,
        params=run.data.params,
        model_type="classifier",
        tags={"loader_module": needs.loader_module},
    )
    with tempfile.TemporaryDirectory(prefix="ablate-") as scratch, warnings.catch_warnings():
        model_folder = str(Path(scratch, name))
        # No example of an input: the signature is written by hand.
        warnings.filterwarnings("ignore", message=".*An input example was not provided")
        pyfunc.save_model(
            model_folder,
            loader_module=needs.loader_module,
            data_path=str(folder),
            code_paths=[str(path) for path in needs.code_paths] or None,
            signature=_signature(n_classes),
            pip_requirements=list(needs.requirements),
            mlflow_model=Model(
                artifact_path=logged.artifact_location,
                model_uuid=logged.model_id,
                model_id=logged.model_id,
                run_id=run.info.run_id,
            ),
        )
        client.log_model_artifacts(logged.model_id, model_folder)
    # Until then the model is not READY: a call that is cut short leaves none that seems whole.
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return f"models:/{logged.model_id}"


def has_model(client: MlflowClient, uri: str) -> bool:
    """Whether the files of a model that was logged as `uri` are still there."""
    try:
        files = client.list_logged_model_artifacts(uri.removeprefix("models:/"))
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    # The one file that every model has.
    return any(file.path == "MLmodel" for file in files)


def fetch_model(client: MlflowClient, uri: str, *, tracking_uri: str, into: Path) -> Path:
    """The files that were logged as a model: where they lie, or a copy in `into`."""
    # By its location: of a models:/ URI mlflow asks the store of the process, which may be another.
    location = client.get_logged_model(uri.removeprefix("models:/")).artifact_location
    if location.startswith("file:"):
        folder = local_path(location)
    else:
        copied = artifacts.download_artifacts(
            location, dst_path=str(into), tracking_uri=tracking_uri
        )
        folder = Path(copied)
    # The model's own files (`data_path`), without loader and source: where MLflow put them, it
    # says.
    data = Model.load(str(folder)).flavors["python_function"]["data"]
    return folder / str(data)


def _signature(n_classes: int) -> ModelSignature:
    # Any number of images of any size (B, H, W, 3).
    images = TensorSpec(np.dtype(np.uint8), (-1, -1, -1, 3))
    probabilities = TensorSpec(np.dtype(np.float32), (-1, n_classes))
    return ModelSignature(inputs=Schema([images]), outputs=Schema([probabilities]))
