"""One conductor per study: whoever holds the lock of the study's folder owns it.

The kernel lets go of the lock when its holder dies, however it dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ablate.errors import StoreError
from ablate.scheduling.study_folder import StudyFolder

# Not `filelock`, for three reasons. Whoever asks for the study's state must see a lock without
# taking it, or a conductor that starts at that moment is refused: its locks are exclusive only. It
# has no place for the holder's name (before version 4 it even empties the file). And where a file
# system has no locks, it falls back to a marker file that outlives a killed holder.

_LOCK = "conductor.lock"
# Characters of a name that is shown: anybody can write to the file.
_LONGEST_NAME = 200
# Of taking the lock, `_PAUSE_S` apart: whoever looks at a study holds it for an instant.
_N_TRIES = 5
_PAUSE_S = 0.05


@contextmanager
def lease(folder: Path) -> Iterator[None]:
    """Own the study in `folder` while the block runs.

    Raises StoreError naming the holder when another process owns it, where the folder cannot be
    written, and, before anything is written, where a later version of ablate wrote the study.
    """
    StudyFolder(folder).check_schema()
    descriptor = _open_lock(folder)
    try:
        _own(descriptor, folder)
        _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def holder(folder: Path) -> str | None:
    """Return who owns the study in `folder`, e.g. "process 7 on host since ...", or None."""
    path = folder / _LOCK
    try:
        # Without waiting: in the place of the lock there may be a named pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        # Shared, so that two who look at once do not take each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _named_in(path)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def _open_lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o644)
    except OSError as error:
        raise StoreError(
            f"the study's folder must be writable, {folder} is not: {error}; "
            "set ABLATE_HOME to another place."
        ) from error


def _own(descriptor: int, folder: Path) -> None:
    try:
        _lock(descriptor)
    except BlockingIOError as error:
        raise StoreError(
            f"a study must have one conductor, {folder} is owned by {_named_in(folder / _LOCK)}; "
            "wait for it, or end it."
        ) from error
    except OSError as error:
        raise StoreError(
            f"the study's folder must be able to lock files, {folder} is not: {error}; "
            "set ABLATE_HOME to another place."
        ) from error


def _lock(descriptor: int) -> None:
    """Raises BlockingIOError when somebody holds the lock for longer than `holder` does."""
    for tries_left in reversed(range(_N_TRIES)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not tries_left:
                raise
            time.sleep(_PAUSE_S)


def _sign(descriptor: int) -> None:
    """Write who holds the lock, for whoever meets it. It holds without that, on a full disk too."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    name = f"process {os.getpid()} on {socket.gethostname()} since {since}\n"
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, name.encode(), 0)


def _named_in(path: Path) -> str:
    """Who holds the lock, as its file says: damage of it costs the name alone."""
    name = ""
    with contextlib.suppress(OSError):
        if path.is_file():
            name = path.read_text(errors="replace").strip()[:_LONGEST_NAME]
    # Locked, and not signed yet; or somebody else's file.
    if not name.startswith("process ") or not name.isprintable():
        return "a process that has not said its name"
    return name
