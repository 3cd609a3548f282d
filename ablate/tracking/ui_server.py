"""MLflow's UI, served by this process alone: nothing of it outlives the process, however that ends.

`mlflow server` starts two processes and, for jobs that ablate has no use for, nine more; it writes
the store's URI on command lines that everybody can read, and takes options from the environment
that open other addresses. What it serves is an application as any other, so it is served here.
"""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn  # before mlflow.server, which asks whether it is there to know that it serves
from mlflow import MlflowClient

from ablate.errors import StoreError
from ablate.tracking import links
from ablate.tracking.passwords import hide_passwords, without_password
from ablate.tracking.records import PublishedStudy

_SHARED_VIEW = "mlflow.sharedViewState."
_LOG = logging.getLogger(__name__)


def application(tracking_uri: str, *, artifact_folder: str) -> Any:
    """Return MLflow's web application on a store; files that it is sent go to `artifact_folder`.

    It reads its settings from the environment of its process, which nobody else can read. Raises
    StoreError where the store does not open.
    """
    # Jobs, which ablate has no use for, would start nine more processes.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    warnings.filterwarnings("ignore", message="starlette.middleware.wsgi is deprecated")
    from mlflow import server
    from mlflow.server.handlers import initialize_backend_stores

    # Files go through the server, so that a browser elsewhere sees those that lie here.
    proxied = "mlflow-artifacts:/"
    os.environ[server.BACKEND_STORE_URI_ENV_VAR] = tracking_uri
    os.environ[server.ARTIFACT_ROOT_ENV_VAR] = proxied
    os.environ[server.SERVE_ARTIFACTS_ENV_VAR] = "true"
    os.environ[server.ARTIFACTS_DESTINATION_ENV_VAR] = artifact_folder
    try:
        initialize_backend_stores(tracking_uri, tracking_uri, proxied)
        from mlflow.server.fastapi_app import app
    except Exception as error:
        reason = hide_passwords(f"{type(error).__name__}: {error}".partition("\n")[0])
        raise StoreError(
            "MLflow's UI must be able to open the tracking store, "
            f"{without_password(tracking_uri)!r} does not open: {reason}"
        ) from error
    return app


def share_view(tracking_uri: str, study: PublishedStudy) -> bool:
    """Store the view of a study's runs with its experiment; return whether that could be done."""
    tag = f"{_SHARED_VIEW}{links.view_key(study.record)}"
    state = links.view_state(study)
    try:
        MlflowClient(tracking_uri).set_experiment_tag(study.experiment_id, tag, state)
    except Exception as error:
        # A store that may only be read: the UI is as good, with fewer columns.
        _LOG.info("the view of the study's runs is not stored: %s", hide_passwords(str(error)))
        return False
    return True


def serve(app: Any, listener: socket.socket) -> None:
    """Answer requests on a socket that listens already, until the process ends."""
    config = uvicorn.Config(app, log_level="error", access_log=False)
    _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Leaves signals to whoever handles them already.

    Nothing that it holds needs putting away, and an open request must not hold up the end.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
