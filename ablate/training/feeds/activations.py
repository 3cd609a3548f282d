"""The activation cache: what the frozen prefix makes of each view of each image, computed once for every trial that shares it.

    <folder>/<key>/meta.json   shape, dtype, digest, seconds that the build took
                   rows.bin    (N, ...) in C order

The key names everything that determines the rows, so an entry is never updated: it is built whole under a lock, renamed into place, verified on open and
dropped, least recently used first, when the folder outgrows its bound. Rows are always computed in the same batches, kept or not, so a trial's numbers do not
depend on what is in the cache.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.checksum import digest_of_file
from ablate.data.store import locked
from ablate.study.trial_facts import PrefixCut
from ablate.training.feeds.kept_rows import META, ROWS, KeptRows, read_meta, verify_rows, write_meta

VERSION = 2
"""Part of the key; grows when the same view would give other rows."""
_DTYPES = {
    "float32": (torch.float32, np.float32),
    "bfloat16": (torch.bfloat16, np.uint16),
    "float16": (torch.float16, np.float16),
}
_verified: set[tuple[str, int, int]] = set()
"""(entry, size, mtime in ns) of the row files that this process has checked."""


@dataclass(frozen=True)
class Rows:
    """Activations of one view, in the order of its split."""

    values: NDArray[Any]
    """(N, ...), memory-mapped or in memory; bfloat16 as uint16."""
    dtype: torch.dtype
    build_s: float
    """Seconds that computing them took, by whoever did."""

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
    cuts: list[PrefixCut] = field(default_factory=list)
    """Where the network was cut, by phase of training."""
    ahead: set[str] = field(default_factory=set)
    """Keys of views that the trial built before it needed them, while it would have waited for another process."""

    def took(self, rows: Rows, *, build_s: float) -> None:
        """Note rows that were there, and what making this trial's own from them took."""
        self.n_reused += 1
        self.saved_s += rows.build_s
        self.build_s += build_s

    def made(self, rows: Rows) -> None:
        """Note rows that had to be computed from images."""
        self.n_built += 1
        self.build_s += rows.build_s


@dataclass(frozen=True)
class View:
    """What is computed: one view of one split, at the doors of one cut."""

    identity: dict[str, Any]
    """Everything that determines the rows but the door."""
    doors: tuple[str, ...]
    """In the order of the pass; the trial needs the rows of the last."""
    from_images: Callable[[], Iterator[tuple[Tensor, ...]]]
    """Batches of activations at every door."""
    from_rows: Callable[[Rows, int], Iterator[Tensor]]
    """Rows of an earlier door and its number -> batches at the last."""
    kept: frozenset[int]
    """Numbers of the doors whose rows are worth keeping."""


@dataclass(frozen=True)
class ActivationCache:
    """Rows on disk, shared by processes."""

    folder: Path
    max_gb: float
    """Bound on the folder in GB (10**9 bytes); 0 keeps nothing and shares nothing, and computes the same rows."""

    def rows(self, view: View, use: CacheUse, *, meanwhile: Iterable[View] = ()) -> Rows:
        """Return the rows of a view's last door: opened where they are kept and sound, else made from those of an earlier door, else from images, and kept.

        While another process builds the view, this one builds those of `meanwhile` that nobody has built or builds.
        A damaged entry is dropped, reported in `use.problems` and made again. Where the disk is full or cannot be written the rows stay in memory.
        """
        if self.max_gb == 0:
            # No lock either: two trials that need one view compute it side by side.
            rows = build_rows(view.from_images())[-1]
            use.made(rows)
            return rows
        for other in meanwhile:
            if not self._is_busy(view):
                break
            if not self._is_kept(other) and not self._is_busy(other):
                self._rows(other, use)
                if not self._is_kept(other):
                    break  # too large, or the disk is full: work ahead is lost
                use.ahead.add(self._entry(other).name)
        return self._rows(view, use)

    def _rows(self, view: View, use: CacheUse) -> Rows:
        made = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self._lock(view)):
                for number in reversed(range(len(view.doors))):
                    found = self._open(
                        self.folder / cache_key(view.identity, door=view.doors[number]), use
                    )
                    if found is not None:
                        made = self._reached(view, found, number, use)
                        break
                else:
                    made = self._computed(view, use)
        except OSError as error:
            use.problems.append(f"activations are not kept: {error.strerror or error}")
        if made is None:
            made = build_rows(view.from_images())[-1]
            use.made(made)
        return made

    def _entry(self, view: View) -> Path:
        return self.folder / cache_key(view.identity, door=view.doors[-1])

    def _lock(self, view: View) -> Path:
        return self.folder / f"{cache_key(view.identity, door='*')}.lock"

    def _is_kept(self, view: View) -> bool:
        return (self._entry(view) / META).is_file()

    def _is_busy(self, view: View) -> bool:
        """Whether another process holds a view's lock now."""
        try:
            with self._lock(view).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False  # nobody has asked for it yet
        return False

    def _reached(self, view: View, found: Rows, number: int, use: CacheUse) -> Rows:
        """The last door's rows from those of door `number`."""
        if number == len(view.doors) - 1:
            if self._entry(view).name in use.ahead:
                use.ahead.remove(self._entry(view).name)  # counted when it was built
            else:
                use.took(found, build_s=0.0)
            return found
        (own,) = build_rows((batch,) for batch in view.from_rows(found, number))
        use.took(found, build_s=own.build_s)
        if len(view.doors) - 1 in view.kept:
            self._keep_or_tell(
                view,
                len(view.doors) - 1,
                dataclasses.replace(own, build_s=own.build_s + found.build_s),
                use,
            )
        return own

    def _computed(self, view: View, use: CacheUse) -> Rows:
        """Every door's rows in one pass over the images; those worth keeping are kept."""
        built = build_rows(view.from_images())
        use.made(built[-1])
        for number in sorted(view.kept):
            self._keep_or_tell(view, number, built[number], use)
        return built[-1]

    def _keep_or_tell(self, view: View, number: int, rows: Rows, use: CacheUse) -> None:
        """Keep rows; a disk that does not take them stops caching, not training."""
        try:
            self._keep(
                self.folder / cache_key(view.identity, door=view.doors[number]),
                rows,
                view.identity,
                view.doors[number],
            )
        except OSError as error:
            use.problems.append(f"activations are not kept: {error.strerror or error}")

    def _open(self, entry: Path, use: CacheUse) -> Rows | None:
        if not entry.is_dir():
            return None
        try:
            kept = read_meta(entry)
            torch_dtype, numpy_dtype = _DTYPES[kept.dtype]
            _verify(entry, kept)
            values = np.memmap(entry / ROWS, dtype=numpy_dtype, mode="r", shape=kept.shape)
            with suppress(OSError):  # a folder that is not ours to write still holds good rows
                os.utime(entry)
            return Rows(values, torch_dtype, float(kept.build_s))
        except (OSError, ValueError) as error:
            use.problems.append(f"cache entry {entry.name} was damaged and is built again: {error}")
            shutil.rmtree(entry, ignore_errors=True)
            return None

    def _keep(self, entry: Path, rows: Rows, identity: dict[str, Any], door: str) -> None:
        if not self._make_room(rows.values.nbytes):
            return
        temporary = entry.with_name(f"{entry.name}.{os.getpid()}.part")
        try:
            temporary.mkdir()
            with (temporary / ROWS).open(
                "wb"
            ) as file:  # NumPy's own writing does not say that the disk is full
                file.write(np.ascontiguousarray(rows.values).data)
            dtype = next(
                name for name, (torch_dtype, _) in _DTYPES.items() if torch_dtype == rows.dtype
            )
            digest = digest_of_file(temporary / ROWS)
            write_meta(
                temporary, KeptRows(rows.values.shape, dtype, digest, rows.build_s, door, identity)
            )
            temporary.rename(entry)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def _make_room(self, n_bytes: int) -> bool:
        """Drop entries, least recently used first, until `n_bytes` fit; False where they never will."""
        bound = self.max_gb * 1e9
        if n_bytes > bound:
            return False
        entries = sorted(
            (entry for entry in self.folder.iterdir() if (entry / META).is_file()),
            key=lambda entry: entry.stat().st_mtime,
        )
        sizes = {
            entry: (entry / ROWS).stat().st_size if (entry / ROWS).is_file() else 0
            for entry in entries
        }
        total = sum(sizes.values())
        for entry in entries:
            if total + n_bytes <= bound:
                break
            shutil.rmtree(
                entry, ignore_errors=True
            )  # whoever has it mapped keeps its pages until it lets go
            total -= sizes[entry]
        return True


def cache_key(identity: dict[str, Any], *, door: str) -> str:
    """Return 32 hex digits that name a view's rows at a door."""
    text = json.dumps({"version": VERSION, "door": door, **identity}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def build_rows(batches: Iterable[tuple[Tensor, ...]]) -> tuple[Rows, ...]:
    """Compute into memory: batches of activations at some doors -> the rows of each door. Each has the seconds that all of them took."""
    started = time.perf_counter()
    columns = zip(
        *(tuple(one.cpu().contiguous() for one in batch) for batch in batches), strict=True
    )
    whole = [torch.cat(column) for column in columns]
    build_s = time.perf_counter() - started
    return tuple(
        Rows(
            one.view(torch.uint16).numpy() if one.dtype == torch.bfloat16 else one.numpy(),
            one.dtype,
            build_s,
        )
        for one in whole
    )


def _verify(entry: Path, kept: KeptRows) -> None:
    stat = (entry / ROWS).stat()
    seen = (str(entry), stat.st_size, stat.st_mtime_ns)
    if seen in _verified:
        return
    verify_rows(entry, kept)
    _verified.add(seen)
