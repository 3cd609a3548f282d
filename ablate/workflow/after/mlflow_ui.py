"""MLflow's UI of this call's tracking store, on this machine alone."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass

from ablate.errors import StoreError
from ablate.tracking.links import compare_url, runs_url, shared_view_url
from ablate.tracking.passwords import without_password
from ablate.tracking.records import PublishedStudy
from ablate.workflow.commands import ui_command
from ablate.workflow.folders import Folders
from ablate.workflow.stores import open_store

# Never 0.0.0.0: MLflow's UI asks nobody for a password.
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of the UI while it is served."""

    ui: str
    grid: str = ""
    """The grid that the other two are about; empty without one."""
    trials: str = ""
    """Its trials, the best by val first."""
    compare: str = ""
    """Its trials side by side."""


def serve_ui(
    folders: Folders, *, grid_name: str, port: int, on_links: Callable[[Links], object]
) -> None:
    """Serve MLflow's UI on 127.0.0.1, whatever the environment says, until the process ends.

    `on_links` hears the addresses before the first request is answered: of the UI, and of the
    newest study of a grid where `grid_name` is not empty. Raises StoreError where the port is
    taken, the store is a server itself or cannot be read, or holds no such study.
    """
    if folders.tracking_uri.startswith(("http://", "https://")):
        raise StoreError(
            f"the tracking store is a server already: open {without_password(folders.tracking_uri)}"
        )
    # The port first: it is the likeliest to fail, and reading a store takes seconds.
    with _listener(port) as listener:
        # No grid can have that name: the store is opened and mended, and no experiment is touched.
        store = open_store(folders, grid_name or "-")
        study = None
        if grid_name:
            study = store.read_study(grid_name)
        # A web server, after all that could have been refused without one.
        from ablate.tracking.ui_server import application, serve

        app = application(folders.tracking_uri, artifact_folder=folders.artifact_root.as_uri())
        on_links(_links(folders, study, base=f"http://{HOST}:{port}"))
        serve(app, listener)


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = "something listens there"
        else:
            reason = f"it does not open ({error.strerror})"
        other = 5000
        # Below 1024 the next port needs the same rights, above 65535 there is none.
        if 1024 <= port < 65535:
            other = port + 1
        raise StoreError(
            f"port {port} must be free on {HOST}, but {reason}; "
            f"choose another: {ui_command(port=other)}"
        ) from None


def _links(folders: Folders, study: PublishedStudy | None, *, base: str) -> Links:
    if study is None:
        return Links(base)
    from ablate.tracking.ui_server import share_view

    # The table with columns for scores and axes, where the view of it could be stored.
    has_columns = share_view(folders.tracking_uri, study)
    trials = runs_url(base, study)
    if has_columns:
        trials = shared_view_url(base, study)
    return Links(base, study.record.grid_name, trials, compare_url(base, study))
