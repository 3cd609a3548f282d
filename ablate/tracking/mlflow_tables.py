"""MLflow's own tables in a SQLite file: made in a place of their own, and let go of."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from ablate.errors import StoreError
from ablate.tracking.connectivity import BrokenStore, sqlite_path, sqlite_url, without_password
from ablate.tracking.mlflow_runs import first_line
from ablate.tracking.store_file import (
    ARTIFACTS,
    copy_database,
    follow_artifacts,
    holds_no_run,
    make_whole,
)

# Where versions of MLflow keep a process's connections by URL, beyond the end of whoever asked for
# them.
_ENGINES = ("_engine_map", "_db_uri_sql_alchemy_engine_map")


def prepare_file(tracking_uri: str) -> None:
    """Make the file of a SQLite store that is missing, before the store is opened.

    One that was moved names the artifacts beside it afterwards. Nothing for other stores. Raises
    StoreError, sqlite3.Error.
    """
    path = sqlite_path(tracking_uri)
    if path is None:
        return
    make_whole(path, lambda part: _make_tables(part, artifacts=path.parent / ARTIFACTS))
    follow_artifacts(path)


def _make_tables(path: Path, *, artifacts: Path) -> None:
    url = sqlite_url(path)
    # Opening a store makes its tables.
    SqlAlchemyStore(url, artifacts.as_uri())
    let_go(url)


def unopened(tracking_uri: str, error: Exception, *, grid_name: str) -> StoreError:
    """What to say where a store did not open; afterwards this process holds nothing of its file."""
    if isinstance(error, StoreError):
        return error
    uri = without_password(tracking_uri)
    path = sqlite_path(tracking_uri)
    problem = f"the tracking store must answer, {uri!r} did not: {first_line(error)}"
    if path is None:
        return StoreError(problem)
    let_go(tracking_uri)
    if holds_no_run(path) and not _opens(path):
        return BrokenStore(
            f"{problem}; it was left in the middle of its making and holds no run: "
            f"move {path} away, "
            "the same command makes it again."
        )
    return StoreError(
        f"{problem}; use the version of MLflow that wrote it, or bring it to this one with: "
        f"mlflow db upgrade '{uri}'. "
        f"Or move {path} away and publish the journals again: ablate sync {grid_name}"
    )


def _opens(path: Path) -> bool:
    """Whether a copy of a store opens.

    True also where none can be made: then something else is wrong than what is in it, and may pass.
    """
    with tempfile.TemporaryDirectory(prefix="ablate-") as scratch:
        copy = Path(scratch, path.name)
        try:
            copy_database(path, copy)
        except (OSError, sqlite3.Error):
            return True
        try:
            _make_tables(copy, artifacts=copy.parent)
        except Exception:  # MLflow lets through whatever its libraries raise
            return False
        finally:
            let_go(sqlite_url(copy))
    return True


def let_go(tracking_uri: str) -> None:
    """Close what this process holds of a store.

    After the store's file was renamed it would go on writing to the old one.
    """
    for name in _ENGINES:
        # Absent in other versions: then there is nothing to let go of.
        engine = getattr(SqlAlchemyStore, name, {}).pop(tracking_uri, None)
        if engine is not None:
            engine.dispose()
