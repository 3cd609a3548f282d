"""A store's file: whole or not there, whoever dies while it is made; moved aside where it is
broken; and after a move it names what lies beside it.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support.striking import WAIT_S, opener, strike
from support.toy_study import new_store_uri, toy_events, toy_study

from ablate.errors import StoreError
from ablate.tracking.connectivity import BrokenStore, sqlite_url
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.store_file import (
    artifact_uri,
    follow_artifacts,
    holds_no_run,
    make_whole,
    move_aside,
)


def uri_in(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}"


def publish(uri: str, folder: Path, *, n_trials: int = 1, grid_name: str = "toy") -> MlflowStore:
    record, trials = toy_study(grid_name=grid_name)
    store = MlflowStore(uri, grid_name)
    store.start_study(record, {})
    for trial in trials[:n_trials]:
        for event in toy_events(trial, folder=folder / trial.trial_id):
            store.publish(event, trial=trial, folder=folder / trial.trial_id)
    store.finish_study()
    return store


# made whole or not at all


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name
)
def test_a_store_whose_maker_was_struck_down_is_usable(number, tmp_path):
    """Twenty strikes of the whole command: scripts/strike_first_seconds.py."""
    uri = uri_in(tmp_path / "home")
    strike(uri, number, after_s=random.Random(number).uniform(0.0, 0.6))
    # Twice: where nothing is there yet, the first makes it.
    MlflowStore(uri, "toy").check_reachable()
    MlflowStore(uri, "toy").check_reachable()
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["mlflow.db"]


@pytest.mark.slow
def test_two_first_commands_at_once_make_one_store(tmp_path):
    uri = uri_in(tmp_path / "home")
    both = [opener(uri), opener(uri)]
    for process in both:
        process.join(WAIT_S)
    assert [process.exitcode for process in both] == [0, 0]
    MlflowStore(uri, "toy").check_reachable()
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["mlflow.db"]


def test_who_waits_for_a_maker_does_not_make_another(tmp_path):
    path, made = tmp_path / "mlflow.db", []

    def make(part: Path) -> None:
        made.append(part)
        with sqlite3.connect(part) as connection:
            connection.execute("CREATE TABLE runs (run_id)")

    make_whole(path, make)
    make_whole(path, make)
    assert len(made) == 1
    assert made[0].parent == tmp_path
    assert [found.name for found in tmp_path.iterdir()] == ["mlflow.db"]


def _write_whole(part: Path) -> None:
    part.write_bytes(b"whole")


def test_what_a_former_store_left_is_not_played_into_the_new_one(tmp_path):
    path = tmp_path / "mlflow.db"
    path.touch()
    for ending in ("-journal", "-wal", "-shm", ".7.part", ".7.part-journal"):
        path.with_name(path.name + ending).write_bytes(b"\xd9\xd5\x05\xf9 of another database")
    make_whole(path, _write_whole)
    assert {found.name: found.read_bytes() for found in tmp_path.iterdir()} == {
        "mlflow.db": b"whole"
    }


def test_a_maker_that_fails_leaves_nothing(tmp_path):
    def make(part: Path) -> None:
        part.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_whole(tmp_path / "mlflow.db", make)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "mlflow.db"
    message = (
        f"the tracking store's folder must be one that can be written, {path.parent} is not: "
        f"[Errno 20] Not a directory: '{path}'; "
        "free it, or set MLFLOW_TRACKING_URI to another place."
    )
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        make_whole(path, Path.touch)


# broken


def drop_revision(path: Path) -> None:
    _execute(path, "DELETE FROM alembic_version")


def go_back(path: Path) -> None:
    """As left by a process that died between a migration's table and its number."""
    _execute(
        path, "UPDATE alembic_version SET version_num = '0c779009ac13'", "DROP TABLE trace_tags"
    )


def keep_first_tables(path: Path) -> None:
    kept = ("experiments", "runs", "metrics", "params", "tags")
    with sqlite3.connect(path) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        ]
    _execute(
        path,
        "PRAGMA foreign_keys = OFF",
        *(f"DROP TABLE {name}" for name in names if name not in kept),
    )


def _execute(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "damage", [drop_revision, go_back, keep_first_tables], ids=lambda damage: damage.__name__
)
def test_a_half_made_store_is_called_so_and_can_be_moved_aside_and_made_again(damage, tmp_path):
    uri = new_store_uri(tmp_path)
    path = tmp_path / "mlflow.db"
    damage(path)
    said = (
        re.escape(f"the tracking store must answer, {uri!r} did not: ")
        + r"[^\n]+"
        + re.escape(
            f"; it was left in the middle of its making and holds no run: move {path} away, "
            "the same command makes it again."
        )
    )
    with pytest.raises(BrokenStore, match=f"^{said}$"):
        MlflowStore(uri, "toy").check_reachable()
    assert holds_no_run(path)
    inode = path.stat().st_ino
    aside = move_aside(path, inode=inode)
    assert aside is not None
    assert re.fullmatch(r"mlflow\.db\.broken-\d{8}-\d{6}", aside.name)
    assert move_aside(path, inode=inode) is None
    path.write_bytes(b"made again by another process")
    assert move_aside(path, inode=inode) is None


def test_a_store_with_runs_that_does_not_open_stays_where_it_is(tmp_path):
    """As one that a later MLflow wrote."""
    uri = new_store_uri(tmp_path)
    publish(uri, tmp_path / "trials")
    _execute(tmp_path / "mlflow.db", "UPDATE alembic_version SET version_num = 'ffffffffffff'")
    later = f"{uri}?timeout=5"  # MLflow keeps what it opened in this process
    with pytest.raises(StoreError) as caught:
        MlflowStore(later, "toy").check_reachable()
    assert not isinstance(caught.value, BrokenStore)
    said = (
        "; use the version of MLflow that wrote it, or bring it to this one with: "
        f"mlflow db upgrade '{later}'. "
        f"Or move {tmp_path / 'mlflow.db'} away and publish the journals again: ablate sync toy"
    )
    assert str(caught.value).endswith(said)


@pytest.mark.parametrize("kept", ["nothing", "half", "all but a page", "its name"])
def test_a_damaged_store_is_broken_and_not_away(kept, tmp_path):
    path = tmp_path / "mlflow.db"
    uri = new_store_uri(tmp_path)
    whole = path.read_bytes()
    page = len(whole) // 2 // 4096 * 4096
    path.write_bytes(
        {
            "nothing": b"x" * 5000,
            "half": whole[: len(whole) // 2],
            "all but a page": whole[:page] + bytes(range(256)) * 16 + whole[page + 4096 :],
            "its name": whole[:16] + b"\0" * (len(whole) - 16),
        }[kept]
    )
    with pytest.raises(
        BrokenStore,
        match=r"^the tracking store's file must be a SQLite database that can be written, "
        rf"'{uri}' is not: [^\n]+; set MLF",
    ):
        MlflowStore(uri, "toy").check_reachable()


def test_a_locked_store_is_not_broken(tmp_path, monkeypatch):
    monkeypatch.setattr("ablate.tracking.connectivity.REACH_S", 0.1)
    uri = new_store_uri(tmp_path)
    other = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="is not: database is locked; set MLF") as caught:
        MlflowStore(uri, "toy").check_reachable()
    other.execute("ROLLBACK")
    other.close()
    assert not isinstance(caught.value, BrokenStore)


def test_a_new_store_that_does_not_open_for_another_reason_is_not_broken(tmp_path, monkeypatch):
    """It may pass: too many open files, a server of the same file that holds it for long."""
    uri = new_store_uri(tmp_path)

    def refuse(path: Path) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("ablate.tracking.mlflow_tables.follow_artifacts", refuse)
    with pytest.raises(
        StoreError,
        match=re.escape(
            f"the tracking store must answer, {uri!r} did not: OSError: "
            "[Errno 24] Too many open files; use"
        ),
    ) as caught:
        MlflowStore(uri, "toy").check_reachable()
    assert not isinstance(caught.value, BrokenStore)


# moved and copied

NAMES = ["project 2#b", "what?", "100%", "%41%3F", "wörk;x=1&y@home:80", "new\nline"]
"""Any other: test_connectivity.py::test_a_sqlite_url_means_its_file."""


@pytest.fixture
def as_another_process(monkeypatch):
    """MLflow keeps in a process where the files of a run go; a copy has runs of the same ids."""
    from mlflow.tracking._tracking_service import utils

    monkeypatch.setattr(utils, "_artifact_repos_cache", utils._artifact_repos_cache.__class__())
    return utils._artifact_repos_cache.clear


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_moved_store_finds_and_writes_what_lies_beside_it_whatever_its_folder_is_called(
    name, tmp_path, as_another_process
):
    publish(new_store_uri(tmp_path / "first"), tmp_path / "trials")
    as_another_process()
    (tmp_path / "first").rename(tmp_path / name)
    store = MlflowStore(sqlite_url(tmp_path / name / "mlflow.db"), "toy")
    (run,) = store.read_study("toy").runs
    assert len(store.read_predictions(run)) == 12
    publish(store.tracking_uri, tmp_path / "trials", n_trials=2)
    publish(store.tracking_uri, tmp_path / "trials", grid_name="another one/100%")
    again = MlflowStore(store.tracking_uri, "toy")
    assert [len(again.read_predictions(run)) for run in again.read_study("toy").runs] == [12, 12]
    assert len(list((tmp_path / name / "artifacts").rglob("predictions.parquet"))) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["trials", name])


def everything_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize("with_artifacts", [True, False])
def test_a_copy_neither_reads_nor_writes_its_original(with_artifacts, tmp_path, as_another_process):
    publish(new_store_uri(tmp_path / "original"), tmp_path / "trials")
    as_another_process()
    (tmp_path / "original" / "studies").mkdir()
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    if not with_artifacts:
        shutil.rmtree(tmp_path / "copy" / "artifacts")
    before = everything_in(tmp_path / "original")
    publish(f"sqlite:///{tmp_path / 'copy' / 'mlflow.db'}", tmp_path / "trials", n_trials=3)
    assert everything_in(tmp_path / "original") == before
    shutil.rmtree(tmp_path / "original")
    store = MlflowStore(f"sqlite:///{tmp_path / 'copy' / 'mlflow.db'}", "toy")
    assert [len(store.read_predictions(run)) for run in store.read_study("toy").runs] == [
        12,
        12,
        12,
    ]


def test_a_store_that_was_copied_without_its_home_reads_where_its_files_are(tmp_path):
    publish(new_store_uri(tmp_path / "original"), tmp_path / "trials")
    (tmp_path / "backup").mkdir()
    shutil.copy(tmp_path / "original" / "mlflow.db", tmp_path / "backup")
    store = MlflowStore(f"sqlite:///{tmp_path / 'backup' / 'mlflow.db'}", "toy")
    assert len(store.read_predictions(store.read_study("toy").runs[0])) == 12


def test_places_that_others_chose_and_links_stay_as_they_are(tmp_path):
    uri = new_store_uri(tmp_path / "home")
    publish(uri, tmp_path / "trials")
    client = MlflowClient(tracking_uri=uri)
    elsewhere = {
        "mine": "file:///data/mine",
        "bucket": "s3://bucket/artifacts/bucket",
        "other": "file:///data/artifacts/name-of-another",
    }
    for name, place in elsewhere.items():
        client.create_experiment(name, artifact_location=place)
    (tmp_path / "link").symlink_to(tmp_path / "home")
    assert follow_artifacts(tmp_path / "link" / "mlflow.db") == 0
    (tmp_path / "link").unlink()
    (tmp_path / "home").rename(tmp_path / "moved")
    path = tmp_path / "moved" / "mlflow.db"
    assert follow_artifacts(path) == 1
    assert follow_artifacts(path) == 0
    with sqlite3.connect(path) as connection:
        places = dict(
            connection.execute(
                "SELECT name, artifact_location FROM experiments WHERE name != 'Default'"
            )
        )
        (run_place,) = connection.execute(
            "SELECT DISTINCT substr(artifact_uri, 1, length(?)) FROM runs", (places["toy"],)
        ).fetchone()
    assert places == {**elsewhere, "toy": artifact_uri(path, "toy")}
    assert run_place == places["toy"]
