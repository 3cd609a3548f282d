"""Where one call of the program reads and writes, and which tracking store it uses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import StoreError
from ablate.files import home_folder
from ablate.tracking.connectivity import sqlite_path, sqlite_url
from ablate.tracking.databases import check_apart, check_database, with_driver

MLFLOW = "mlflow.db"
"""Name of the default tracking store's file."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders and the tracking store; see "What is settled where" in the docs."""

    home: Path
    """Journals, caches and the default tracking store.

    `$ABLATE_HOME`, else `.ablate` in the working folder.
    """
    data_dir: Path
    """Data sets on disk: `--data-dir`, else `$ABLATE_DATA`, else `<home>/data`."""
    tracking_uri: str
    """`$MLFLOW_TRACKING_URI`, else a SQLite file in `home`."""
    optuna_url: str | None
    """`--optuna-storage`, else `$ABLATE_OPTUNA`; None: a SQLite file in each study's folder."""

    @property
    def artifact_root(self) -> Path:
        """Where files of runs go when the tracking store is a database without a server."""
        # Beside the store, so that a home which is moved takes its files along.
        return self.home / "artifacts"

    @property
    def has_default_store(self) -> bool:
        """Whether the tracking store is the file in `home`.

        `ablate` made that file, and the journals beside it can write all of it again.
        """
        return sqlite_path(self.tracking_uri) == self.home / MLFLOW


def find_folders(
    *, home: Path | None = None, data_dir: Path | None = None, optuna_url: str | None = None
) -> Folders:
    """Return the folders that the arguments name, else those of the environment.

    Raises StoreError for a home or a database that cannot be used.
    """
    # `or`, not a default: a variable that is set to nothing counts as unset.
    # Absolute from here on: workers and the journals' records must not depend on a working folder.
    home = (home or home_folder()).absolute()
    check_utf8(home)
    data_dir = data_dir or Path(os.environ.get("ABLATE_DATA") or home / "data")
    tracking_uri = os.environ.get("MLFLOW_TRACKING_URI") or sqlite_url(home / MLFLOW)
    storage = optuna_url or os.environ.get("ABLATE_OPTUNA")
    return Folders(
        home=home,
        data_dir=data_dir.absolute(),
        tracking_uri=with_driver(tracking_uri),
        optuna_url=with_driver(storage) if storage else None,
    )


def check_utf8(home: Path) -> None:
    """Raises StoreError for a home whose path is not UTF-8: no URL can name it to MLflow."""
    try:
        str(home).encode()
    except UnicodeEncodeError:
        raise StoreError(
            f"the path of ABLATE_HOME must be UTF-8, {os.fsencode(home)!r} is not: "
            "MLflow cannot name files there; "
            "rename the folder, or set ABLATE_HOME to another place."
        ) from None


def check_optuna(folders: Folders) -> None:
    """Make sure that Optuna's storage can be reached and is not MLflow's. Raises StoreError."""
    if folders.optuna_url is None:
        return  # a file in the study's folder
    # Without a connection: whether the two are one shows in their URLs.
    check_apart(folders.optuna_url, folders.tracking_uri)
    check_database(folders.optuna_url, what="Optuna's storage", setting="ABLATE_OPTUNA")
