"""A copy of an image store on a machine that has none yet."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ablate.data.store import files_of, locked, open_store, verify_store
from ablate.errors import StoreError

ReadPiece = Callable[[str, int, int], bytes]
"""(file name, offset, at most so many bytes) -> the bytes; none at the end of the file."""
# Bytes: a piece travels as one message, and both ends hold it in memory.
PIECE_BYTES = 32 * 2**20
_META = "meta.json"


def fetch_store(path: Path, read: ReadPiece) -> None:
    """Ensure that a whole image store is at `path`: where there is none, read it piece by piece.

    Every array is compared with its digest. Processes that ask at the same time wait for one of
    them. Raises StoreError where what arrives is not what was written, or there is no room.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock")):
            if not _is_whole(path):
                _fetch(path, read)
    except OSError as error:
        raise StoreError(
            f"the image store must be writable on every machine, {path.parent} is not ({error}); "
            "set ABLATE_HOME there."
        ) from error


def _is_whole(path: Path) -> bool:
    try:
        open_store(path)
    except StoreError:
        return False
    return True


def _fetch(path: Path, read: ReadPiece) -> None:
    """Copy into a folder beside the final one, verify, rename."""
    partial = path.with_suffix(".partial")
    # A killed process may have left the one, an incomplete store may be the other.
    for leftover in (partial, path):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    try:
        # meta.json first: it says which arrays there are.
        _copy(_META, partial, read)
        for name in files_of((partial / _META).read_bytes()):
            _copy(name, partial, read)
        # Every byte, whatever the size: the network is trusted less than the own disk.
        verify_store(partial)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _copy(name: str, folder: Path, read: ReadPiece) -> None:
    with (folder / name).open("wb") as file:
        # an empty piece is the end of the file
        while piece := read(name, file.tell(), PIECE_BYTES):
            file.write(piece)
