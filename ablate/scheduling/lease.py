"""One conductor a study: whoever holds the folder's lock owns it. The kernel lets go of the lock when its holder dies, however it dies."""

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

_LOCK = "conductor.lock"
_LONGEST_NAME = 200


@contextmanager
def lease(folder: Path) -> Iterator[None]:
    """Own the study in `folder` while the block runs. Raises StoreError naming the holder when another process owns it, or the folder cannot be written."""
    path = folder / _LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o644)
    except OSError as error:
        raise StoreError(
            f"the study's folder must be writable, {folder} is not: {error}; set ABLATE_HOME to another place."
        ) from error
    try:
        try:
            _lock(descriptor)
        except BlockingIOError as error:
            raise StoreError(
                f"a study must have one conductor, {folder} is owned by {_named_in(path)}; wait for it, or end it."
            ) from error
        except OSError as error:
            raise StoreError(
                f"the study's folder must be able to lock files, {folder} is not: {error}; set ABLATE_HOME to another place."
            ) from error
        _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def _sign(descriptor: int) -> None:
    """Write who holds the lock, for whoever meets it. The lock holds without it, on a full disk too."""
    words = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n"
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, words.encode(), 0)


def _named_in(path: Path) -> str:
    """Who holds the lock, as its file says: damage of it costs the name alone."""
    words = ""
    with contextlib.suppress(OSError):
        words = path.read_text(errors="replace").strip()[:_LONGEST_NAME] if path.is_file() else ""
    is_name = words.startswith("process ") and words.isprintable()
    return words if is_name else "a process that has not said its name"


def _lock(descriptor: int) -> None:
    """Raises BlockingIOError when somebody holds the lock for longer than a look at it takes."""
    for tries_left in reversed(range(5)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not tries_left:
                raise
            time.sleep(0.05)


def holder(folder: Path) -> str | None:
    """Return who owns the study in `folder`, e.g. "process 7 on host since ...", or None where nobody does."""
    path = folder / _LOCK
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _named_in(path)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None
