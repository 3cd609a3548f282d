"""One conductor a study: whoever holds the folder's lock owns it. The kernel lets go of the lock when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ablate.errors import StoreError


@contextmanager
def lease(folder: Path) -> Iterator[None]:
    """Own the study in `folder` while the block runs. Raises StoreError naming the holder when another process owns it, or the folder cannot be written."""
    path = folder / "conductor.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"the study's folder must be writable, {folder} is not: {error}; set ABLATE_HOME to another place.") from error
    try:
        try:
            _lock(descriptor)
        except BlockingIOError as error:
            raise StoreError(f"a study must have one conductor, {folder} is owned by {path.read_text().strip()}; wait for it, or end it.") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


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
    path = folder / "conductor.lock"
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return path.read_text().strip() or "a process that has just begun"
    finally:
        os.close(descriptor)
    return None
