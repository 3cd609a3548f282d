"""Database servers behind MLflow and Optuna.

Which driver speaks to them, and whether they can be used, found out in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from ablate.errors import StoreError
from ablate.tracking.connectivity import address_of, connect, problem_of, sqlite_path
from ablate.tracking.passwords import without_password
from ablate.tracking.store_file import artifact_uri


@dataclass(frozen=True, slots=True)
class _Driver:
    """What speaks to the servers of a dialect."""

    module: str
    """The driver that ablate names."""
    default: str
    """The one that SQLAlchemy takes where a URL names none."""
    package: str
    """What to install."""
    port: int
    """Where servers listen by default."""


# Dialect of a URL -> its driver. Both install as wheels: SQLAlchemy's own defaults are compiled
# against the server's headers.
_DRIVERS = {
    "postgresql": _Driver("psycopg", "psycopg2", "psycopg[binary]", 5432),
    "mysql": _Driver("pymysql", "MySQLdb", "pymysql", 3306),
}


def with_driver(url: str) -> str:
    """Name the driver in a URL that leaves it open, where SQLAlchemy's default is not installed.

    postgresql://... -> postgresql+psycopg://...
    """
    scheme, mark, rest = url.partition("://")
    if scheme == "postgres":  # as some services write it
        scheme = "postgresql"
    if not mark or scheme not in _DRIVERS:
        return url
    driver = _DRIVERS[scheme]
    if find_spec(driver.default):
        return url
    return f"{scheme}+{driver.module}://{rest}"


def check_driver(url: str) -> None:
    """Raises StoreError where the driver that a URL names is not installed."""
    # "postgresql+psycopg": SQLAlchemy's form, the driver behind a plus.
    dialect, _, module = url.partition("://")[0].partition("+")
    if dialect not in _DRIVERS or not module or find_spec(module) is not None:
        return
    driver = _DRIVERS[dialect]
    # A driver that the user chose is named as its module is; ours has another name to install.
    package = driver.package if module == driver.module else module
    raise StoreError(
        f"{without_password(url)} must have its driver {module}, it is not installed; "
        f"install it with: pip install '{package}'"
    )


def check_database(url: str, *, what: str, setting: str) -> None:
    """Return when a database's driver is there and its server accepts connections.

    Raises StoreError within seconds otherwise. `what` the database is for and the `setting` that
    names it go into the message. Files and databases on a local socket are left to their users.
    """
    check_driver(url)
    dialect = url.partition("://")[0].partition("+")[0]
    if dialect not in _DRIVERS and dialect != "sqlite":
        raise StoreError(
            f"{what} must be postgresql://HOST/NAME, mysql://HOST/NAME or sqlite:///PATH, "
            f"got {without_password(url)!r}; see {setting}."
        )
    if dialect == "sqlite":
        return  # whoever opens the file says what is wrong with it
    address = address_of(url)
    if address.problem:
        raise StoreError(
            f"{what} must be a database URL such as postgresql://HOST/NAME, "
            f"got {without_password(url)!r}: {address.problem}."
        )
    if not address.host:
        return  # a local socket
    port = address.port or _DRIVERS[dialect].port
    problem = problem_of(partial(connect, address.host, port))
    if problem:
        server = f"{dialect}://{address.host}:{port}"
        raise StoreError(
            f"{what} must be reachable, {server} is not ({problem}); "
            f"start the server, or set {setting} to another one."
        )


def check_apart(optuna_url: str, tracking_uri: str) -> None:
    """Raises StoreError where Optuna and MLflow are given one database.

    Each keeps the version of its tables in `alembic_version` (seen with PostgreSQL).
    """
    # By what they mean: the same database can be written with another driver or without its port.
    if _identity(optuna_url) == _identity(tracking_uri):
        raise StoreError(
            "Optuna and MLflow must have a database each, both got "
            f"{without_password(optuna_url)!r}: each keeps the version of its tables in a table of "
            "the same name; create a second database and name it in ABLATE_OPTUNA."
        )


def artifact_location(tracking_uri: str, grid_name: str, *, root: Path | None) -> str | None:
    """Where the files of a new experiment go.

    Beside a SQLite store, below `root` for a database without a server; None for a server, which
    decides itself.
    """
    path = sqlite_path(tracking_uri)
    if path is not None:
        return artifact_uri(path, grid_name)
    dialect = tracking_uri.partition("+")[0].partition(":")[0]
    if root is None or dialect not in (*_DRIVERS, "mssql"):
        return None
    return (root.absolute() / quote(grid_name, safe="")).as_uri()


def _identity(url: str) -> tuple[str, str | None, int | None, str]:
    """What two URLs of one database have in common: dialect, host, port, name."""
    path = sqlite_path(url)
    if path is not None:
        return "sqlite", None, None, str(path)
    dialect = url.partition("://")[0].partition("+")[0]
    usual_port = _DRIVERS[dialect].port if dialect in _DRIVERS else None
    address = address_of(url)
    return dialect, address.host, address.port or usual_port, address.database
