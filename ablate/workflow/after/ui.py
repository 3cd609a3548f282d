"""MLflow's UI of this call's tracking store, on this machine alone."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from ablate.errors import StoreError
from ablate.tracking.links import compare_url, runs_url, shared_view_url
from ablate.tracking.passwords import without_password
from ablate.tracking.records import PublishedStudy
from ablate.workflow.folders import Places
from ablate.workflow.stores import open_store

HOST = "127.0.0.1"


def serve_ui(places: Places, *, grid_name: str, port: int, say: Callable[[str], None]) -> None:
    """Serve MLflow's UI on 127.0.0.1, whatever the environment says, until the process ends.

    `say` is told the links: of the UI, and of the newest study of a grid where `grid_name` is not
    empty. Raises StoreError where the port is taken, the store is a server of its own or cannot be
    read, or holds no such study.
    """
    if places.tracking_uri.startswith(("http://", "https://")):
        raise StoreError(
            f"the tracking store is a server already: open {without_password(places.tracking_uri)}"
        )
    with _listener(port) as listener:
        store = open_store(places, grid_name or "-")
        study = store.read_study(grid_name) if grid_name else None
        from ablate.tracking.ui_server import application, serve

        app = application(places.tracking_uri, artifact_folder=places.artifact_root.as_uri())
        base = f"http://{HOST}:{port}"
        if study is not None:
            _say_links(places, study, base=base, say=say)
        say(f"MLflow UI: {base}   (stop it with Ctrl-C)")
        serve(app, listener)


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = (
            "something listens there"
            if error.errno == errno.EADDRINUSE
            else f"it does not open ({error.strerror})"
        )
        other = port + 1 if 1024 <= port < 65535 else 5000
        raise StoreError(
            f"port {port} must be free on {HOST}, but {reason}; choose another: make ui ARGS='--port {other}'"
        ) from None


def _say_links(
    places: Places, study: PublishedStudy, *, base: str, say: Callable[[str], None]
) -> None:
    from ablate.tracking.ui_server import share_view

    has_columns = share_view(places.tracking_uri, study)
    table = shared_view_url(base, study) if has_columns else runs_url(base, study)
    say(f"trials of {study.record.grid_name}, the best by val first: {table}")
    say(f"compare its trials: {compare_url(base, study)}")
