from __future__ import annotations

import socket

import pytest

from ablate.errors import StoreError
from ablate.tracking import databases
from ablate.tracking.databases import check_apart, check_database, check_driver, with_driver


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(databases, "find_spec", lambda name: object() if name in names else None)


def test_a_url_that_leaves_the_driver_open_gets_the_one_that_the_extra_installs(monkeypatch):
    installed(monkeypatch)
    assert (
        with_driver("postgresql://me:secret@host:1/name")
        == "postgresql+psycopg://me:secret@host:1/name"
    )
    assert with_driver("postgres://host/name") == "postgresql+psycopg://host/name"
    assert with_driver("mysql://host/name") == "mysql+pymysql://host/name"
    for url in (
        "postgresql+asyncpg://host/name",
        "sqlite:////tmp/x.db",
        "http://host:5000",
        "databricks",
    ):
        assert with_driver(url) == url
    installed(monkeypatch, "psycopg2")
    assert with_driver("postgresql://host/name") == "postgresql://host/name"


def test_a_driver_that_is_missing_is_named_with_the_way_out(monkeypatch):
    installed(monkeypatch)
    with pytest.raises(StoreError) as caught:
        check_driver("postgresql+psycopg://me:secret@host/name")
    assert str(caught.value) == (
        "postgresql+psycopg://me:***@host/name must have its driver psycopg, it is not installed; "
        "install it with: pip install 'psycopg[binary]'"
    )
    with pytest.raises(
        StoreError,
        match=r"must have its driver pymysql, it is not installed; install it with: "
        r"pip install 'pymysql'$",
    ):
        check_driver("mysql+pymysql://host/name")
    installed(monkeypatch, "psycopg")
    check_driver("postgresql+psycopg://host/name")


def test_a_server_that_is_not_there_is_refused_within_seconds(monkeypatch):
    installed(monkeypatch, "psycopg")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(StoreError) as caught:
        check_database(
            f"postgresql+psycopg://me:secret@127.0.0.1:{port}/name",
            what="Optuna's storage",
            setting="ABLATE_OPTUNA",
        )
    assert str(caught.value) == (
        f"Optuna's storage must be reachable, postgresql://127.0.0.1:{port} is not ([Errno 111] "
        "Connection refused); "
        "start the server, or set ABLATE_OPTUNA to another one."
    )


def test_what_is_no_database_is_refused():
    with pytest.raises(StoreError) as caught:
        check_database("http://127.0.0.1:5000", what="Optuna's storage", setting="ABLATE_OPTUNA")
    assert str(caught.value) == (
        "Optuna's storage must be postgresql://HOST/NAME, mysql://HOST/NAME or sqlite:///PATH, "
        "got 'http://127.0.0.1:5000'; see ABLATE_OPTUNA."
    )
    check_database("sqlite:////tmp/some.db", what="Optuna's storage", setting="ABLATE_OPTUNA")


def test_optuna_and_mlflow_need_a_database_each():
    with pytest.raises(StoreError) as caught:
        check_apart("postgresql+psycopg://me:secret@host/study", "postgresql://host:5432/study")
    assert str(caught.value) == (
        "Optuna and MLflow must have a database each, both got "
        "'postgresql+psycopg://me:***@host/study': each keeps the version of its tables in a "
        "table of "
        "the same name; create a second database and name it in ABLATE_OPTUNA."
    )
    check_apart("postgresql://host/optuna", "postgresql://host/mlflow")
    check_apart("postgresql://host/optuna", "http://host:5000/optuna")
