"""Whether a tracking store can be used, found out in seconds: MLflow's own clients try a dead
server or a broken file again for minutes.
"""

from __future__ import annotations

import difflib
import http.client
import os
import socket
import sqlite3
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urlsplit

from ablate.errors import StoreError
from ablate.tracking.passwords import hide_passwords as hide_passwords
from ablate.tracking.passwords import without_password as without_password

# Characters of a path that SQLAlchemy reads as more than themselves; `#`, `@` and blanks it takes
# as they are.
_MEANT_BY_SQLALCHEMY = "?%"

REACH_S = 4.0
"""How long a server may take to accept a connection."""
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
_UNREADABLE = "its port must be a number, and / ? # @ in a password must be written %2F %3F %23 %40"
_FORMS = "sqlite:///PATH, http(s)://HOST or a database URL such as postgresql://HOST/NAME"


class BrokenStore(StoreError):
    """A SQLite store whose file is damaged or was never made whole, so that nothing can be read
    from it.
    """


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file, which means that file whatever characters its path has.

    MLflow makes the folder of what it reads behind `sqlite:///`, taken literally; behind
    `sqlite+pysqlite:///` it makes none. SQLAlchemy decodes percent signs since 2.1 only; before,
    SQLite itself has to.
    """
    text = str(path.absolute())
    if text.isprintable() and not set(text) & set(_MEANT_BY_SQLALCHEMY):
        return f"sqlite:///{text}"
    quoted = quote(os.fsencode(text))
    if _sqlalchemy_decodes():
        return f"sqlite+pysqlite:///{quoted}"
    return f"sqlite+pysqlite:///file:{quoted}?uri=true"


def sqlite_path(tracking_uri: str) -> Path | None:
    """Return the absolute path of a SQLite store's file, or None for another kind of store.

    Raises StoreError for SQLite without a file.
    """
    if tracking_uri.partition(":")[0].partition("+")[0] != "sqlite":
        return None
    path, _, options = tracking_uri.partition("://")[2].partition("?")
    if not path.startswith("/") or path in ("/", "/:memory:"):
        raise StoreError(
            "a SQLite tracking store must be sqlite:///PATH of a file (four slashes for an "
            f"absolute path), got {without_password(tracking_uri)!r}."
        )
    is_for_sqlite = path.startswith("/file:") and "uri=true" in options.lower()
    name = path.removeprefix("/file:") if is_for_sqlite else path[1:]
    if "%" in name and (is_for_sqlite or _sqlalchemy_decodes()):
        name = os.fsdecode(unquote_to_bytes(name))
    return Path(name).absolute()


def _sqlalchemy_decodes() -> bool:
    from sqlalchemy import make_url  # a moment to import, and few URLs need it

    return make_url("sqlite:///a%20b").database == "a b"


def check_uri(tracking_uri: str) -> None:
    """Return when the store's file can be written or its server accepts connections; make the
    file's folder. Raises StoreError within seconds otherwise.
    """
    path = sqlite_path(tracking_uri)
    if path is not None:
        return _check_file(path, tracking_uri)
    scheme = tracking_uri.partition(":")[0].partition("+")[0] if ":" in tracking_uri else ""
    if scheme in ("", "file"):
        raise StoreError(
            f"the tracking store must be {_FORMS}, got {without_password(tracking_uri)!r}: "
            "MLflow 3 keeps no runs in plain folders."
        )
    if scheme in _PORTS:
        return _check_server(tracking_uri, scheme)
    near = difflib.get_close_matches(scheme, ["sqlite", *_PORTS], n=1)
    if near:
        raise StoreError(
            f"the tracking store must be {_FORMS}, got {without_password(tracking_uri)!r}; "
            f"did you mean {near[0]}?"
        )
    return None  # databricks and the like: MLflow's own business


def _check_file(path: Path, tracking_uri: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=REACH_S, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("PRAGMA schema_version").fetchone()
            connection.execute("ROLLBACK")
            (problem,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
        if problem != "ok":
            raise sqlite3.DatabaseError(" ".join(problem.split()))
    except (OSError, sqlite3.Error) as error:
        # sqlite3 has an OperationalError for what may pass: a lock, a full disk, a read-only file
        is_damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        )
        kind = BrokenStore if is_damaged else StoreError
        raise kind(
            "the tracking store's file must be a SQLite database that can be written, "
            f"{without_password(tracking_uri)!r} is not: {error}; "
            f"set MLFLOW_TRACKING_URI to another place."
        ) from error


def _check_server(tracking_uri: str, scheme: str) -> None:
    address = address_of(tracking_uri)
    if address.problem:
        raise StoreError(
            f"the tracking store must be {_FORMS}, got {without_password(tracking_uri)!r}: "
            f"{address.problem}."
        )
    host, port = address.host, address.port or _PORTS[scheme]
    if not host:
        if scheme in ("http", "https"):
            raise StoreError(
                f"the tracking store must be {_FORMS}, got {without_password(tracking_uri)!r}, "
                "which names no host."
            )
        return  # a database on a local socket
    is_http = scheme in ("http", "https")
    problem = problem_of(partial(_ask, tracking_uri) if is_http else partial(connect, host, port))
    if problem:
        raise StoreError(
            f"the tracking store must be reachable, {scheme}://{host}:{port} is not ({problem}); "
            "start the server, or set MLFLOW_TRACKING_URI to another store."
        )


@dataclass(frozen=True, slots=True)
class Address:
    """What a URI says of its server; nothing of its password."""

    host: str | None = None
    port: int | None = None
    database: str = ""
    problem: str = ""
    """Why the URI cannot be read; empty where it can."""


def address_of(uri: str) -> Address:
    """Read a URI: of a database as SQLAlchemy does, whose passwords may hold what ends a host
    elsewhere.
    """
    try:
        if uri.startswith(("http://", "https://")):
            parts = urlsplit(uri)
            return Address(parts.hostname, parts.port)
        from sqlalchemy import make_url

        url = make_url(uri)
    except ValueError:  # says which port it could not read, and that may be a piece of the password
        return Address(problem=_UNREADABLE)
    except Exception as error:  # sqlalchemy.exc.ArgumentError, which repeats the URI
        return Address(problem=f"it cannot be read as a URL ({type(error).__name__})")
    # of which part, only its writer knows
    if "@" in f"{url.host}{url.database}" or "?" in uri.rpartition("@")[0]:
        return Address(problem=_UNREADABLE)
    return Address(url.host, url.port, url.database or "")


def connect(host: str, port: int) -> None:
    """Return when something listens there."""
    socket.create_connection((host, port), timeout=REACH_S).close()


def _ask(tracking_uri: str) -> None:
    """Return when something answers HTTP there, whatever it says; through a proxy where one is set,
    as MLflow's client does.
    """
    parts = urlsplit(tracking_uri)
    url = parts._replace(
        netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/") + "/health"
    ).geturl()
    try:
        urllib.request.urlopen(url, timeout=REACH_S).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()  # an answer
    except urllib.error.URLError as error:
        # whom to trust is settled by MLflow's own variables
        if not isinstance(error.reason, ssl.SSLCertVerificationError):
            raise OSError(str(error.reason)) from error


def problem_of(attempt: Callable[[], None]) -> str:
    """Say why an attempt failed, or return nothing.

    In a thread of its own, because looking up a name has no timeout.
    """
    problems = [f"no answer within {REACH_S:.0f} s"]

    def act() -> None:
        try:
            attempt()
            problems[:] = [""]
        except TimeoutError:
            return
        except (
            OSError,
            http.client.HTTPException,
            ValueError,
        ) as error:  # ValueError: a path that HTTP cannot carry
            problems[:] = [str(error) or type(error).__name__]

    thread = threading.Thread(target=act, name="ablate-reach", daemon=True)
    thread.start()
    thread.join(REACH_S + 0.5)
    return problems[0]
