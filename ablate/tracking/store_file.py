"""The file of a SQLite tracking store: made whole or not at all.

MLflow makes some fifty tables in as many transactions, inside the file that everybody opens. A
process that dies meanwhile, or a second one that does the same, leaves a file that MLflow never
opens again. So a store is made in a file of its own, under a lock, and renamed. One that is broken
is moved aside, and one that was moved is told where its artifacts lie now.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from filelock import FileLock

from ablate.errors import StoreError

ARTIFACTS = "artifacts"
"""Folder beside a store's file, where the files of its runs go."""
# Endings of what SQLite keeps beside a database.
_BESIDE = ("-wal", "-shm", "-journal")
# Folder of a home's journals, from which runs and their files can be written again.
_STUDIES = "studies"


def artifact_uri(path: Path, experiment: str) -> str:
    """Where the files of an experiment's runs go, for the store in the file `path`."""
    return (path.absolute().parent / ARTIFACTS / quote(experiment, safe="")).as_uri()


def make_whole(path: Path, make: Callable[[Path], None]) -> None:
    """Make a store where none is.

    `make` gets the path of a file that is not there yet; what it leaves appears at `path` in one
    step. Several processes may ask for it at once: one makes it, the others wait. Raises StoreError
    where the folder cannot be written.
    """
    if not is_missing(path):
        return
    with locked(path):
        if not is_missing(path):
            return
        # Of makers that were killed: the lock is ours, so nobody writes to them.
        for left_over in path.parent.glob(f"{path.name}.*.part*"):
            left_over.unlink(missing_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            make(part)
            # SQLite would play what belongs to a former database into the new one.
            for ending in _BESIDE:
                path.with_name(path.name + ending).unlink(missing_ok=True)
            part.replace(path)
        except OSError as error:
            raise _not_writable(path, error) from error
        finally:
            part.unlink(missing_ok=True)


def is_missing(path: Path) -> bool:
    """Whether there is no file, or an empty database."""
    # SQLite makes an empty file where a database is opened and never written.
    try:
        if path.stat().st_size == 0:
            return True
    except FileNotFoundError:
        return True
    except OSError as error:
        raise _not_writable(path, error) from error
    return _count(path, "SELECT count(*) FROM sqlite_master") == 0


def holds_no_run(path: Path) -> bool:
    """Whether a store can be read and holds no run.

    One that does not open then was left in the middle of its making.
    """
    try:
        with closing(_open(path)) as connection:
            query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'runs'"
            # No table of runs yet: the making was cut short before it.
            if connection.execute(query).fetchone() is None:
                return True
            return connection.execute("SELECT 1 FROM runs").fetchone() is None
    except sqlite3.Error:
        return False


def copy_database(path: Path, copy: Path) -> None:
    """Copy a database as it stands now, whoever writes to it. Raises sqlite3.Error."""
    with closing(_open(path)) as source, closing(_open(copy)) as target:
        source.backup(target)


def move_aside(path: Path, *, inode: int) -> Path | None:
    """Move a broken store to a name of its own and return that.

    None where another process did so first: the file is no longer the one with `inode`.
    """
    with locked(path):
        try:
            # The store that somebody found broken, or one that was made in its place meanwhile?
            if path.stat().st_ino != inode:
                return None
        except FileNotFoundError:
            return None
        aside = _free_name(path)
        try:
            for ending in _BESIDE:
                # Its write-ahead log first: left behind, it would be played into the store that
                # follows.
                beside = path.with_name(path.name + ending)
                if beside.exists():
                    beside.replace(aside.with_name(aside.name + ending))
            path.replace(aside)
        except OSError as error:
            raise _not_writable(path, error) from error
        return aside


def _free_name(path: Path) -> Path:
    stem = f"{path.name}.broken-{time.strftime('%Y%m%d-%H%M%S')}"
    name = path.with_name(stem)
    number = 1
    while name.exists():  # two in one second
        number += 1
        name = path.with_name(f"{stem}-{number}")
    return name


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Own the making of the store at `path` while the block runs; whoever else wants to waits.

    Raises StoreError where its folder cannot be written.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        # The kernel's lock or none: filelock's fallback, a marker file, outlives a killed maker.
        held = FileLock(lock, fallback_to_soft=False)
        held.acquire()
    except OSError as error:
        raise _not_writable(lock, error) from error
    try:
        yield
    finally:
        # Still owned: whoever waited for this file sees that it is gone, and makes another.
        lock.unlink(missing_ok=True)
        held.release()


def follow_artifacts(path: Path) -> int:
    """Let a store that was moved or copied name the artifacts beside it.

    Returns how many experiments named those at its former place. MLflow keeps absolute places. Only
    those that this program chose are changed (`artifact_uri`), and only where the files lie here,
    or are gone from there, or where this is a home with journals, which write them again: a copy
    must neither read nor write its original. Raises sqlite3.Error.
    """
    with closing(_open(path)) as connection:
        experiments = connection.execute(
            "SELECT experiment_id, name, artifact_location FROM experiments"
        ).fetchall()
        moves = []
        for experiment_id, name, recorded in experiments:
            if _has_moved(path, name, recorded or ""):
                moves.append(_Move(experiment_id, recorded, artifact_uri(path, name)))
        if not moves:
            return 0
        # All or nothing: a store of which some runs were moved would be read from two places.
        connection.execute("BEGIN IMMEDIATE")
        for move in moves:
            connection.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                (move.new, move.experiment_id),
            )
            _rename(connection, "runs", "artifact_uri", move)
            _rename(connection, "logged_models", "artifact_location", move)
        connection.execute("COMMIT")
        return len(moves)


@dataclass(frozen=True, slots=True)
class _Move:
    """Where an experiment's files lay, and where they lie."""

    experiment_id: int
    old: str
    new: str


def _rename(connection: sqlite3.Connection, table: str, column: str, move: _Move) -> None:
    """Let a column's places of one experiment begin with the new place instead of the old one.

    Without the table there is nothing to do: it came with MLflow 3.
    """
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
        return
    n_letters = len(move.old) + 1  # with the slash behind it: not "flowers2" for "flowers"
    query = (
        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608  names from above
        f"WHERE experiment_id = ? AND substr({column}, 1, ?) = ?"
    )
    values = (move.new, n_letters, move.experiment_id, n_letters, f"{move.old}/")
    connection.execute(query, values)


def _has_moved(path: Path, experiment: str, recorded: str) -> bool:
    beside = artifact_uri(path, experiment)
    tail = f"/{ARTIFACTS}/{beside.rpartition('/')[2]}"
    # A place that the user chose stays, wherever the store's file goes.
    is_chosen_by_us = recorded.startswith("file:///") and recorded.endswith(tail)
    if recorded == beside or not is_chosen_by_us:
        return False
    new = local_path(beside)
    old = local_path(recorded)
    if new.exists() and old.exists() and new.samefile(old):
        return False  # one folder by two names, through a link
    return new.is_dir() or not old.exists() or (path.parent / _STUDIES).is_dir()


def local_path(uri: str) -> Path:
    """The path that a file:// URI names."""
    return Path(unquote(urlsplit(uri).path))


def _open(path: Path) -> sqlite3.Connection:
    # No implicit transactions: BEGIN and COMMIT stand where they are meant. 20 s for other writers.
    return sqlite3.connect(path, timeout=20, isolation_level=None)


def _count(path: Path, query: str) -> int | None:
    """A number from a database, or None where it cannot be read."""
    try:
        with closing(_open(path)) as connection:
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.Error:
        return None


def _not_writable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the tracking store's folder must be one that can be written, {path.parent} is not: "
        f"{error}; free it, or set MLFLOW_TRACKING_URI to another place."
    )
