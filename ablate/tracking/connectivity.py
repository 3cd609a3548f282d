"""Whether a tracking store can be used, found out in seconds.

MLflow's own clients try a dead server or a broken file again for minutes.
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
from contextlib import closing
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
# On top of a connection's own time limit, so that its own message comes first.
_SLACK_S = 0.5
# Scheme -> the port that its servers listen on by default.
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
_UNREADABLE = "its port must be a number, and / ? # @ in a password must be written %2F %3F %23 %40"
_FORMS = "sqlite:///PATH, http(s)://HOST or a database URL such as postgresql://HOST/NAME"


class BrokenStore(StoreError):
    """A SQLite store of which nothing can be read: it is damaged, or was never made whole."""


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
    # sqlite:///PATH: behind the two slashes the path begins with a third, which is not part of it.
    path, _, options = tracking_uri.partition("://")[2].partition("?")
    if not path.startswith("/") or path in ("/", "/:memory:"):
        raise StoreError(
            "a SQLite tracking store must be sqlite:///PATH of a file (four slashes for an "
            f"absolute path), got {without_password(tracking_uri)!r}."
        )
    # SQLite's own form of a URI, which it decodes itself.
    # (SQLAlchemy passes it on as it is.)
    is_for_sqlite = path.startswith("/file:") and "uri=true" in options.lower()
    name = path.removeprefix("/")
    if is_for_sqlite:
        name = name.removeprefix("file:")
    # Rarely asked, as it imports SQLAlchemy: a path with a percent sign is rare.
    if "%" in name and (is_for_sqlite or _sqlalchemy_decodes()):
        name = os.fsdecode(unquote_to_bytes(name))
    return Path(name).absolute()


def _sqlalchemy_decodes() -> bool:
    from sqlalchemy import make_url  # a moment to import, and few URLs need it

    return make_url("sqlite:///a%20b").database == "a b"


def check_uri(tracking_uri: str) -> None:
    """Return when the store's file can be written, or its server accepts connections.

    Makes the file's folder. Raises StoreError within seconds otherwise.
    """
    path = sqlite_path(tracking_uri)
    if path is not None:
        return _check_file(path, tracking_uri)
    before_colon, colon, _ = tracking_uri.partition(":")
    scheme = before_colon.partition("+")[0]
    if not colon or scheme in ("", "file"):
        raise StoreError(
            f"the tracking store must be {_FORMS}, got {without_password(tracking_uri)!r}: "
            "MLflow 3 keeps no runs in plain folders."
        )
    if scheme in _PORTS:
        return _check_server(tracking_uri, scheme)
    near = difflib.get_close_matches(scheme, ["sqlite", *_PORTS], n=1)
    # Only what looks like a slip is refused: plugins bring schemes of their own to MLflow.
    if near:
        raise StoreError(
            f"the tracking store must be {_FORMS}, got {without_password(tracking_uri)!r}; "
            f"did you mean {near[0]}?"
        )
    return None  # databricks and the like: MLflow's own business


def _check_file(path: Path, tracking_uri: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=REACH_S, isolation_level=None)) as connection:
            # A write lock that is given back: whether the file can be written, without writing.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("PRAGMA schema_version").fetchone()
            connection.execute("ROLLBACK")
            # Pages that do not fit together; the first problem is enough.
            (problem,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if problem != "ok":
            raise sqlite3.DatabaseError(" ".join(problem.split()))
    except (OSError, sqlite3.Error) as error:
        # Damage does not pass: a default store is then moved aside and made again.
        kind = BrokenStore if _is_damage(error) else StoreError
        raise kind(
            "the tracking store's file must be a SQLite database that can be written, "
            f"{without_password(tracking_uri)!r} is not: {error}; "
            "set MLFLOW_TRACKING_URI to another place."
        ) from error


def _is_damage(error: Exception) -> bool:
    # sqlite3 has an OperationalError for what may pass: a lock, a full disk, a read-only file.
    is_passing = isinstance(error, sqlite3.OperationalError)
    return isinstance(error, sqlite3.DatabaseError) and not is_passing


def _check_server(tracking_uri: str, scheme: str) -> None:
    address = address_of(tracking_uri)
    if address.problem:
        raise StoreError(
            f"the tracking store must be {_FORMS}, got {without_password(tracking_uri)!r}: "
            f"{address.problem}."
        )
    # An HTTP server is asked for an answer, a database only for a connection: its driver logs in
    # later.
    is_http = scheme in ("http", "https")
    if not address.host:
        if is_http:
            raise StoreError(
                f"the tracking store must be {_FORMS}, got {without_password(tracking_uri)!r}, "
                "which names no host."
            )
        return  # a database on a local socket
    port = address.port or _PORTS[scheme]
    if is_http:
        problem = problem_of(partial(_ask, tracking_uri))
    else:
        problem = problem_of(partial(connect, address.host, port))
    if problem:
        server = f"{scheme}://{address.host}:{port}"
        raise StoreError(
            f"the tracking store must be reachable, {server} is not ({problem}); "
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
    """Read a URI, that of a database as SQLAlchemy does.

    Its passwords may hold what ends a host elsewhere.
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
    # An @ or ? that stands in one part may belong to another; which, only its writer knows.
    if "@" in f"{url.host}{url.database}" or "?" in uri.rpartition("@")[0]:
        return Address(problem=_UNREADABLE)
    # SQLAlchemy takes the first brackets for the host's, also those in a password with an @.
    if url.host and url.host not in uri.rpartition("@")[2]:
        return Address(problem=_UNREADABLE)
    return Address(url.host, url.port, url.database or "")


def connect(host: str, port: int) -> None:
    """Return when something listens there."""
    socket.create_connection((host, port), timeout=REACH_S).close()


def _ask(tracking_uri: str) -> None:
    """Return when something answers HTTP there, whatever it says.

    Through a proxy where one is set, as MLflow's client does.
    """
    parts = urlsplit(tracking_uri)
    host = parts.netloc.rpartition("@")[2]  # without the user and the password
    url = parts._replace(netloc=host, path=parts.path.rstrip("/") + "/health").geturl()
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
    # A list, because the thread that fills it may still be looking up the name when this returns.
    problems = [f"no answer within {REACH_S:.0f} s"]

    def act() -> None:
        try:
            attempt()
            problems[:] = [""]
        except TimeoutError:
            return
        except (OSError, http.client.HTTPException, ValueError) as error:
            # A ValueError: a path that HTTP cannot carry.
            problems[:] = [str(error) or type(error).__name__]

    thread = threading.Thread(target=act, name="ablate-reach", daemon=True)
    thread.start()
    thread.join(REACH_S + _SLACK_S)
    return problems[0]
