"""Where things are, for one call of the command line."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import SpecError, StoreError
from ablate.grid.parse import nearest
from ablate.tracking.connectivity import sqlite_path, sqlite_url
from ablate.tracking.databases import check_apart, check_database, with_driver

MLFLOW = "mlflow.db"
"""Name of the default tracking store's file."""
GRIDS = Path("experiments")
SUFFIXES = (".yaml", ".yml")
"""Of grid files: all that is cut off a name."""


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
    default_data = (
        Path(os.environ["ABLATE_DATA"]) if os.environ.get("ABLATE_DATA") else home / "data"
    )
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


def grid_name(name_or_path: str) -> str:
    """Return the name of a grid as `run` takes it: of a path the last part, less a suffix .yaml or .yml.

    Every command takes names through here, so that `shoes.v2` is never taken for `shoes`. The file
    itself need not be there any more. Raises SpecError where nothing that could be a name is left.
    """
    file = _grid_file(name_or_path)
    path = Path(name_or_path) if file is None else file
    name = path.stem if path.suffix in SUFFIXES else path.name
    if name in ("", ".."):
        raise SpecError(f"GRID must be {_what_grid_is()}, got {_shown(name_or_path)}")
    return name


def find_grid(name_or_path: str) -> Path:
    """Return the grid file for a name in experiments/ or a path. Raises SpecError with the nearest name."""
    file = _grid_file(name_or_path)
    if file is None:
        near = nearest(name_or_path, _known_grids())
        raise SpecError(f"GRID must be {_what_grid_is()}, got {_shown(name_or_path)}{near}")
    return file


def make_command(name: str, *, seeds: str | None) -> str:
    """Return what to type to run a grid again, without folders of this machine."""
    return f"make ablation GRID={shlex.quote(name)}" + (
        f" SEEDS={shlex.quote(seeds)}" if seeds else ""
    )


def _grid_file(name_or_path: str) -> Path | None:
    typed = name_or_path.rstrip("/")
    for path in (Path(typed), GRIDS / f"{typed}.yaml", GRIDS / f"{typed}.yml"):
        if path.suffix in SUFFIXES and _is_file(path):
            return path
    return None


def _is_file(path: Path) -> bool:
    """Whether a file is there; False where the name is none that a file can have, or a folder on the way is closed."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _known_grids() -> list[str]:
    return sorted(path.stem for path in GRIDS.glob("*.y*ml") if path.suffix in SUFFIXES)


def _what_grid_is() -> str:
    there = ", ".join(_known_grids()) or "there are none here"
    return f"a name in {GRIDS}/ ({there}) or the path of a .yaml file"


def _shown(word: str) -> str:
    return repr(word) if len(word) <= 200 else f"{word[:60]!r}... ({len(word)} characters)"
