from __future__ import annotations

import re
import socket
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from ablate.errors import StoreError
from ablate.tracking import connectivity
from ablate.tracking.connectivity import (
    check_uri,
    problem_of,
    sqlite_path,
    sqlite_url,
    without_password,
)


def says(message: str):
    return pytest.raises(StoreError, match=f"^{re.escape(message)}$")


def test_a_sqlite_store_gets_its_folder(tmp_path: Path):
    check_uri(f"sqlite:///{tmp_path / 'deep' / 'mlflow.db'}")
    assert (tmp_path / "deep").is_dir()


def test_sqlite_paths(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sqlite_path("sqlite:///a/m.db") == tmp_path / "a" / "m.db"
    assert sqlite_path("sqlite:////a/m.db?timeout=3") == Path("/a/m.db")
    assert sqlite_path("http://host") is None
    for uri in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
        with says(
            "a SQLite tracking store must be sqlite:///PATH of a file (four slashes for an "
            f"absolute path), got {uri!r}."
        ):
            sqlite_path(uri)


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in (".", ".."))


@given(names=st.lists(NAMES, min_size=1, max_size=3))
def test_a_sqlite_url_means_its_file(names):
    """Whatever may stand in the name of a folder, for SQLAlchemy and for us."""
    path = Path("/", *names, "mlflow.db")
    url = make_url(sqlite_url(path))
    (called,), options = SQLiteDialect_pysqlite().create_connect_args(url)
    assert not options.get("uri")
    assert called == str(path)
    assert sqlite_path(sqlite_url(path)) == path


def test_plain_paths_keep_the_urls_that_they_had():
    assert (
        sqlite_url(Path("/home/me/my project #1 @x/mlflow.db"))
        == "sqlite:////home/me/my project #1 @x/mlflow.db"
    )


@pytest.mark.parametrize("name", ["what?", "100%", "%3F", "new\nline"])
def test_sqlalchemy_before_2_1_lets_sqlite_decode(name, tmp_path, monkeypatch):
    monkeypatch.setattr(connectivity, "_sqlalchemy_decodes", lambda: False)
    path = tmp_path / name / "mlflow.db"
    path.parent.mkdir()
    url = sqlite_url(path)
    assert sqlite_path(url) == path
    rest = url.removeprefix("sqlite+pysqlite:///").removesuffix("?uri=true")
    assert rest.startswith("file:")
    sqlite3.connect(rest, uri=True).execute("CREATE TABLE t (x)").connection.close()
    assert path.is_file()


@pytest.mark.parametrize("uri", ["./mlruns", "mlruns", "file:///mlruns"])
def test_plain_folders_are_refused_with_the_way_out(uri):
    with says(
        "the tracking store must be sqlite:///PATH, http(s)://HOST or a database URL such as "
        f"postgresql://HOST/NAME, got {uri!r}: "
        f"MLflow 3 keeps no runs in plain folders."
    ):
        check_uri(uri)


def test_a_misspelt_scheme_gets_the_nearest_word():
    with says(
        "the tracking store must be sqlite:///PATH, http(s)://HOST or a database URL such as "
        "postgresql://HOST/NAME, got 'sqlit:///m.db'; did you mean sqlite?"
    ):
        check_uri("sqlit:///m.db")


def test_a_file_that_is_no_database(tmp_path: Path):
    path = tmp_path / "m.db"
    path.write_text("x" * 5000)
    with says(
        "the tracking store's file must be a SQLite database that can be written, "
        f"'sqlite:///{path}' is not: file is not a database; "
        f"set MLFLOW_TRACKING_URI to another place."
    ):
        check_uri(f"sqlite:///{path}")


def test_a_database_server_is_reachable_when_it_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_uri(f"postgresql+psycopg2://user:secret@127.0.0.1:{server.getsockname()[1]}/name")


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_port_where_nobody_listens_is_refused(scheme):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with says(
        f"the tracking store must be reachable, {scheme}://127.0.0.1:{port} is not ([Errno 111] "
        "Connection refused); "
        f"start the server, or set MLFLOW_TRACKING_URI to another store."
    ):
        check_uri(f"{scheme}://user:secret@127.0.0.1:{port}/name")


@pytest.mark.slow
def test_a_server_that_listens_and_says_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(connectivity, "REACH_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with says(
            f"the tracking store must be reachable, http://127.0.0.1:{port} is not (no answer "
            "within 1 s); "
            f"start the server, or set MLFLOW_TRACKING_URI to another store."
        ):
            check_uri(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://user:secret@host:1/name", "postgresql://user:***@host:1/name"),
        ("http://user:secret@host", "http://user:***@host"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("sqlite:////a/m.db", "sqlite:////a/m.db"),
    ],
)
def test_a_password_is_not_printed(uri, shown):
    assert without_password(uri) == shown


def test_an_address_that_http_cannot_carry_is_a_problem_and_no_traceback():
    def ask() -> None:
        "/Ω".encode("ascii")

    assert (
        problem_of(ask)
        == "'ascii' codec can't encode character '\\u03a9' in position 1: ordinal not in range(128)"
    )


def test_a_url_without_a_host():
    with says(
        "the tracking store must be sqlite:///PATH, http(s)://HOST or a database URL such as "
        "postgresql://HOST/NAME, got 'http://', which names no host."
    ):
        check_uri("http://")
