"""Entries of the activation cache: rows on disk, opened, written and dropped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ablate.checksum import digest_of_file
from ablate.training.feeds.kept_rows import (
    META,
    ROWS,
    KeptRows,
    read_meta,
    verify_rows,
    write_meta,
)
from ablate.training.feeds.rows import Rows

_NUMPY_DTYPES: Mapping[str, type[np.generic]] = {
    "float32": np.float32,
    # NumPy has no bfloat16: its bits travel as whole numbers of the same size
    "bfloat16": np.uint16,
    "float16": np.float16,
    "uint8": np.uint8,
}
_verified: set[tuple[str, int, int]] = set()
"""(entry, size, mtime in ns) of the row files that this process has checked."""


def open_entry(entry: Path) -> Rows:
    """Return an entry's rows, memory-mapped. Raises OSError, ValueError where it is damaged."""
    kept = read_meta(entry)
    _verify(entry, kept)
    values = np.memmap(entry / ROWS, dtype=_NUMPY_DTYPES[kept.dtype], mode="r", shape=kept.shape)
    # Its time of change says when it was used last. A folder that belongs to somebody else, and
    # cannot be written, still holds good rows.
    with suppress(OSError):
        os.utime(entry)
    return Rows(values, getattr(torch, kept.dtype), float(kept.build_s))


def _verify(entry: Path, kept: KeptRows) -> None:
    stat = (entry / ROWS).stat()
    seen = (str(entry), stat.st_size, stat.st_mtime_ns)
    # Once per process: reading gigabytes in every epoch would cost what the cache saves.
    if seen not in _verified:
        verify_rows(entry, kept)
        _verified.add(seen)


def write_entry(entry: Path, rows: Rows, identity: dict[str, Any], split_point: str) -> None:
    """Write rows beside their place, then rename: an entry is whole or absent. Raises OSError."""
    # With the process id: one that was killed leaves a name that nobody else writes to.
    temporary = entry.with_name(f"{entry.name}.{os.getpid()}.part")
    try:
        temporary.mkdir()
        # NumPy's own tofile does not say that the disk is full; a file's write does.
        with (temporary / ROWS).open("wb") as file:
            file.write(np.ascontiguousarray(rows.values).data)
        kept = KeptRows(
            shape=rows.values.shape,
            dtype=str(rows.dtype).removeprefix("torch."),
            sha256=digest_of_file(temporary / ROWS),
            build_s=rows.build_s,
            split_point=split_point,
            identity=identity,
        )
        write_meta(temporary, kept)
        temporary.rename(entry)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def make_room(folder: Path, n_bytes: int, *, max_bytes: float) -> bool:
    """Drop entries, least recently used first, until `n_bytes` fit; False where they never will."""
    if n_bytes > max_bytes:
        return False
    # Only whole entries: locks and what is being written are somebody's work.
    entries: list[Path] = []
    sizes: dict[Path, int] = {}
    for entry in folder.iterdir():
        if (entry / META).is_file():
            entries.append(entry)
            sizes[entry] = _size_of(entry / ROWS)
    # the folder's time is that of its last use, see `open_entry`
    entries.sort(key=lambda entry: entry.stat().st_mtime)
    total = sum(sizes.values())
    for entry in entries:
        if total + n_bytes <= max_bytes:
            break
        # Safe also while another trial reads it: a mapped file keeps its pages until it is let go.
        shutil.rmtree(entry, ignore_errors=True)
        total -= sizes[entry]
    return True


def _size_of(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0
