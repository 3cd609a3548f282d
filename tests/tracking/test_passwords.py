"""No part of a password is in what is shown of a URI, however the URI is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.errors import StoreError
from ablate.tracking.connectivity import check_uri
from ablate.tracking.databases import check_apart, check_database
from ablate.tracking.passwords import hide_passwords, without_password

DATABASES = ["postgresql", "postgresql+psycopg", "postgres", "mysql", "mssql+pyodbc"]
LETTERS = "ΔΘΛΞΠΣΦΨΩ"
SECRETS = st.text(LETTERS + "0123456789/?#@:&=%+;$!*()[]{}~^|,", min_size=4, max_size=20).map(
    lambda text: f"Γ{text}Γ"
)
"""Greek letters, which no message has otherwise, and whatever ends something in a URI."""


def shows_none_of(secret: str, shown: str) -> bool:
    return not any(
        character in shown or quote(character) in shown
        for character in secret
        if character in LETTERS + "Γ"
    )


@given(
    scheme=st.sampled_from(DATABASES),
    secret=SECRETS,
    user=st.sampled_from(["me", "", "u.x-1"]),
    rest=st.sampled_from(["host/db", "host:5432/db", "host", "[::1]:5432/db?x=1"]),
)
def test_before_the_host_of_a_database(scheme: str, secret: str, user: str, rest: str) -> None:
    shown = without_password(f"{scheme}://{user}:{secret}@{rest}")
    assert shows_none_of(secret, shown)
    assert shown.startswith(f"{scheme}://{user}:***")


@given(scheme=st.sampled_from(["http", "https"]), secret=SECRETS)
def test_before_the_host_of_a_server(scheme: str, secret: str) -> None:
    assert shows_none_of(secret, without_password(f"{scheme}://me:{secret}@host:5000/path"))


@given(
    scheme=st.sampled_from([*DATABASES, "https"]),
    secret=SECRETS.filter(lambda text: "&" not in text or "=" not in text),
    name=st.sampled_from(
        ["password", "sslpassword", "passwd", "PWD", "access_token", "api_key", "pass%77ord"]
    ),
    is_quoted=st.booleans(),
)
def test_in_the_query(scheme: str, secret: str, name: str, is_quoted: bool) -> None:
    written = quote(secret) if is_quoted else secret
    shown = without_password(f"{scheme}://host/db?user=me&{name}={written}&sslmode=require")
    assert shows_none_of(secret, shown)
    assert shown.startswith(f"{scheme}://host/db?user=me&{name}=***")


@given(secret=SECRETS)
def test_whole_uris_of_the_environment_are_found_in_a_text(secret: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ABLATE_OPTUNA", f"postgresql://me:{secret} and more@host/db")
        text = hide_passwords(
            f"could not parse 'postgresql+psycopg://me:{secret} and more@host/db', sorry"
        )
    assert text == "could not parse 'postgresql+psycopg://me:***@host/db', sorry"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://me:pa/ss@host/db", "postgresql://me:***@host/db"),
        (
            "postgresql:///db?user=me&password=secret&host=/run",
            "postgresql:///db?user=me&password=***&host=/run",
        ),
        ("https://token@host/x", "https://***@host/x"),
        ("sqlite:////home/me:x@y/m.db", "sqlite:////home/me:x@y/m.db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("mssql+pyodbc:///?odbc_connect=PWD%3Dsecret", "mssql+pyodbc:///?odbc_connect=***"),
        ("me:secret@host/db", "me:***@host/db"),
        ("postgresql:me:secret@host/db", "postgresql:***@host/db"),
        ("postgresql:/me:secret@host/db", "postgresql:***@host/db"),
        ("https://host/?sig=secret&se=1", "https://host/?sig=***&se=1"),
        ("https://host/?X-Amz-Signature=secret", "https://host/?X-Amz-Signature=***"),
        ("databricks", "databricks"),
        ("", ""),
    ],
)
def test_what_is_shown(uri: str, shown: str) -> None:
    assert without_password(uri) == shown
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        assert hide_passwords(f"got '{uri}'.") == f"got '{shown}'."


@pytest.mark.parametrize("secret", ['it\'s "so"', "a\\b", "tab\there", "line\nline"])
def test_quoted_as_python_does(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"postgresql://me:{secret}@host/db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert (
        hide_passwords(f"could not parse {uri!r}")
        .strip("'\"")
        .endswith("postgresql://me:***@host/db")
    )


@settings(deadline=None, max_examples=40)
@given(secret=SECRETS)
def test_no_message_holds_a_piece_of_a_password(secret: str) -> None:
    """Ports and hosts that cannot be read were repeated, and they were pieces of the password."""
    uris = (
        f"postgresql://me:{secret}@127.0.0.1:1/db",
        f"http://me:{secret}@127.0.0.1:1",
        f"mysql://127.0.0.1:1/db?password={secret.replace('=', '')}",
    )
    checks = (
        check_uri,
        partial(check_database, what="It", setting="IT"),
        lambda uri: check_apart(uri, uri),
    )
    messages = [message_of(check, uri) for uri in uris for check in checks]
    assert sum(map(bool, messages)) >= len(uris)
    assert all(shows_none_of(secret, message) for message in messages)


def message_of(check: Callable[[str], None], uri: str) -> str:
    try:
        check(uri)
    except StoreError as error:
        return str(error)
    return ""
