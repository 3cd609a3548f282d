"""The activation cache: what the frozen prefix makes of each view of each image, computed once for every trial that shares it.

    <folder>/<key>/meta.json   shape, dtype, digest, seconds that the build took
                   rows.bin    (N, ...) in C order

The key names everything that determines the rows, so an entry is never updated: it is built whole under a lock, renamed into place, verified on open and
dropped, least recently used first, when the folder outgrows its bound. Rows are always computed in the same batches, kept or not, so a trial's numbers do not
depend on what is in the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.store import locked

VERSION = 1
"""Part of the key; grows when the same view would give other rows."""
_DTYPES = {"float32": (torch.float32, np.float32), "bfloat16": (torch.bfloat16, np.uint16), "float16": (torch.float16, np.float16)}
_verified: set[tuple[str, int, int]] = set()
"""(path, size, mtime in ns) of the row files that this process has checked."""


@dataclass(frozen=True)
class Rows:
    """Activations of one view, in the order of its split."""

    values: NDArray[Any]
    """(N, ...), memory-mapped or in memory; bfloat16 as uint16."""
    dtype: torch.dtype
    build_s: float
    """Seconds that computing them took, by whoever did."""
    is_reused: bool

    def batch(self, indices: NDArray[np.int64]) -> Tensor:
        """Return the rows of some images, (B, ...), on the CPU."""
        return torch.from_numpy(np.ascontiguousarray(self.values[indices])).view(self.dtype)


@dataclass
class CacheUse:
    """What a trial got from the cache; filled as it goes."""

    n_built: int = 0
    n_reused: int = 0
    build_s: float = 0.0
    saved_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    def count(self, rows: Rows) -> Rows:
        """Note one view."""
        if rows.is_reused:
            self.n_reused += 1
            self.saved_s += rows.build_s
        else:
            self.n_built += 1
            self.build_s += rows.build_s
        return rows


@dataclass(frozen=True)
class ActivationCache:
    """Rows on disk, shared by processes."""

    folder: Path
    max_gb: float
    """Bound on the folder in GB (10**9 bytes)."""

    def rows(self, identity: dict[str, Any], compute: Iterator[Tensor], use: CacheUse) -> Rows:
        """Return the rows of a view: opened where they are kept and sound, else computed from `compute` (batches (B, ...) in order) and kept.

        A damaged entry is dropped, reported in `use.problems` and built again. Where the disk is full or cannot be written the rows stay in memory.
        """
        key = cache_key(identity)
        entry = self.folder / key
        built = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / f"{key}.lock"):
                found = self._open(entry, use)
                if found is not None:
                    return use.count(found)
                built = build_rows(compute)
                self._keep(entry, built, identity)
        except OSError as error:
            use.problems.append(f"activations are not kept: {error.strerror or error}")
        return use.count(build_rows(compute) if built is None else built)

    def _open(self, entry: Path, use: CacheUse) -> Rows | None:
        if not entry.is_dir():
            return None
        try:
            meta = json.loads((entry / "meta.json").read_text())
            torch_dtype, numpy_dtype = _DTYPES[meta["dtype"]]
            _verify(entry / "rows.bin", meta)
            values = np.memmap(entry / "rows.bin", dtype=numpy_dtype, mode="r", shape=tuple(meta["shape"]))
            os.utime(entry)
            return Rows(values, torch_dtype, float(meta["build_s"]), is_reused=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            use.problems.append(f"cache entry {entry.name} was damaged and is built again: {error}")
            shutil.rmtree(entry, ignore_errors=True)
            return None

    def _keep(self, entry: Path, rows: Rows, identity: dict[str, Any]) -> None:
        if not self._make_room(rows.values.nbytes):
            return
        temporary = entry.with_name(f"{entry.name}.{os.getpid()}.part")
        try:
            temporary.mkdir()
            rows.values.tofile(temporary / "rows.bin")
            dtype = next(name for name, (torch_dtype, _) in _DTYPES.items() if torch_dtype == rows.dtype)
            meta = {"shape": rows.values.shape, "dtype": dtype, "sha256": _digest(temporary / "rows.bin"), "build_s": rows.build_s, "identity": identity}
            (temporary / "meta.json").write_text(json.dumps(meta, sort_keys=True))
            temporary.rename(entry)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def _make_room(self, n_bytes: int) -> bool:
        """Drop entries, least recently used first, until `n_bytes` fit; False where they never will."""
        bound = self.max_gb * 1e9
        if n_bytes > bound:
            return False
        entries = sorted((entry for entry in self.folder.iterdir() if (entry / "meta.json").is_file()), key=lambda entry: entry.stat().st_mtime)
        sizes = {entry: (entry / "rows.bin").stat().st_size if (entry / "rows.bin").is_file() else 0 for entry in entries}
        total = sum(sizes.values())
        for entry in entries:
            if total + n_bytes <= bound:
                break
            shutil.rmtree(entry, ignore_errors=True)  # whoever has it mapped keeps its pages until it lets go
            total -= sizes[entry]
        return True


def cache_key(identity: dict[str, Any]) -> str:
    """Return 32 hex digits that name a view's rows."""
    text = json.dumps({"version": VERSION, **identity}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def build_rows(compute: Iterator[Tensor]) -> Rows:
    """Compute a view's rows into memory."""
    started = time.perf_counter()
    batches = [batch.cpu().contiguous() for batch in compute]
    dtype = batches[0].dtype
    whole = torch.cat(batches)
    values: NDArray[Any] = whole.view(torch.uint16).numpy() if dtype == torch.bfloat16 else whole.numpy()
    return Rows(values, dtype, time.perf_counter() - started, is_reused=False)


def _verify(path: Path, meta: dict[str, Any]) -> None:
    stat = path.stat()
    seen = (str(path), stat.st_size, stat.st_mtime_ns)
    if seen in _verified:
        return
    if _digest(path) != meta["sha256"]:
        raise ValueError("its digest does not match")
    _verified.add(seen)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
