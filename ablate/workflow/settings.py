"""Where things are, for one call of the command line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import SpecError, StoreError
from ablate.spec.parse import nearest
from ablate.tracking.databases import check_apart, check_database, with_driver
from ablate.tracking.reach import sqlite_path, sqlite_url

MLFLOW = "mlflow.db"
"""Name of the default tracking store's file."""
GRIDS = Path("experiments")


@dataclass(frozen=True, slots=True)
class Places:
    """Folders and the tracking store; see "What is settled where" in the docs."""

    home: Path
    """Journal, caches and the default tracking store: `$ABLATE_HOME`, else `.ablate` in the working folder."""
    data_dir: Path
    """Data sets on disk: `--data-dir`, else `$ABLATE_DATA`, else `<home>/data`."""
    tracking_uri: str
    """`$MLFLOW_TRACKING_URI`, else a SQLite file in `home`."""
    optuna_url: str | None
    """`--optuna-storage`, else `$ABLATE_OPTUNA`; None: a SQLite file in each study's folder."""

    @property
    def artifact_root(self) -> Path:
        """Where files of runs go when the tracking store is a database without a server in front of it."""
        return self.home / "artifacts"

    @property
    def has_default_store(self) -> bool:
        """Whether the tracking store is the file in `home`, which `ablate` made and all of which the journals beside it can write again."""
        return sqlite_path(self.tracking_uri) == self.home / MLFLOW


def places(*, data_dir: Path | None = None, optuna_url: str | None = None) -> Places:
    """Read the environment."""
    home = Path(os.environ.get("ABLATE_HOME") or ".ablate").absolute()
    default_data = Path(os.environ["ABLATE_DATA"]) if os.environ.get("ABLATE_DATA") else home / "data"
    check_utf8(home)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or sqlite_url(home / MLFLOW)
    storage = optuna_url or os.environ.get("ABLATE_OPTUNA") or None
    return Places(
        home=home,
        data_dir=(data_dir or default_data).absolute(),
        tracking_uri=with_driver(uri),
        optuna_url=None if storage is None else with_driver(storage),
    )


def check_utf8(home: Path) -> None:
    """Raises StoreError for a home whose path no URL can name to MLflow: one that is not UTF-8."""
    try:
        str(home).encode()
    except UnicodeEncodeError:
        raise StoreError(
            f"the path of ABLATE_HOME must be UTF-8, {os.fsencode(home)!r} is not: MLflow cannot name files there; "
            "rename the folder, or set ABLATE_HOME to another place."
        ) from None


def check_optuna(where: Places) -> None:
    """Return when Optuna's storage can be reached and is not MLflow's, or is a file of the study. Raises StoreError."""
    if where.optuna_url is not None:
        check_apart(where.optuna_url, where.tracking_uri)
        check_database(where.optuna_url, what="Optuna's storage", setting="ABLATE_OPTUNA")


def find_grid(name_or_path: str) -> Path:
    """Return the grid file for a name in experiments/ or a path. Raises SpecError with the nearest name."""
    for path in (Path(name_or_path), GRIDS / f"{name_or_path}.yaml", GRIDS / f"{name_or_path}.yml"):
        if path.suffix in (".yaml", ".yml") and _is_file(path):
            return path
    known = sorted(path.stem for path in GRIDS.glob("*.y*ml"))
    there = ", ".join(known) or "there are none here"
    raise SpecError(f"GRID must be a name in {GRIDS}/ ({there}) or the path of a .yaml file, got {_shown(name_or_path)}{nearest(name_or_path, known)}")


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a name that is too long for the file system is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _shown(word: str) -> str:
    return repr(word) if len(word) <= 200 else f"{word[:60]!r}... ({len(word)} characters)"
