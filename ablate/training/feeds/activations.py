"""The activation cache: what the frozen prefix makes of each view of each image.

Computed once for every trial that shares it.

    <folder>/<key>/meta.json   shape, dtype, digest, seconds that the build took
                   rows.bin    (N, ...) in C order

The key names everything that determines the rows, so an entry is never updated: it is built whole
under a lock, renamed into place, verified on open and dropped, least recently used first, when the
folder outgrows its bound. Rows are always computed in the same batches, kept or not, so a trial's
numbers do not depend on what is in the cache.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.data.store import locked
from ablate.training.feeds.cache_entries import make_room, open_entry, write_entry
from ablate.training.feeds.kept_rows import META
from ablate.training.feeds.rows import CacheUse, Rows, View, build_rows

VERSION = 2
"""Part of the key; grows when the same view would give other rows."""


@dataclass(frozen=True)
class ActivationCache:
    """Rows on disk, shared by processes."""

    folder: Path
    max_gb: float
    """Bound on the folder in GB (10**9 bytes).

    0 keeps nothing and shares nothing, and computes the same rows.
    """

    def rows(self, view: View, use: CacheUse, *, meanwhile: Iterable[View] = ()) -> Rows:
        """Return the rows of a view's last split point, and note in `use` where they came from.

        Opened where they are kept and sound, else made from those of an earlier split point, else
        from images, and kept. While another process builds the view, this one builds those of
        `meanwhile` that nobody has built or builds. A damaged entry is dropped, reported in
        `use.problems` and made again. Where the disk is full or cannot be written the rows stay in
        memory.
        """
        if self.max_gb == 0:
            # No lock either: two trials that need one view compute it side by side.
            return _from_images(view, use)
        self._build_ahead(view, meanwhile, use)
        return self._open_or_build(view, use)

    def rows_at_once(self, view: View, use: CacheUse, *, meanwhile: Iterable[View]) -> Rows | None:
        """As `rows`, but None instead of waiting for another process, or keeping nothing."""
        if self.max_gb == 0:
            return None
        self._build_ahead(view, meanwhile, use)
        if self._is_busy(view):
            return None
        return self._open_or_build(view, use)

    def _build_ahead(self, view: View, others: Iterable[View], use: CacheUse) -> None:
        """Build other views for as long as another process builds this one."""
        # In the order in which the trial will need them; locks are tried, not waited for.
        for other in others:
            if not self._is_busy(view):
                return
            if self._is_kept(other) or self._is_busy(other):
                continue
            self._open_or_build(other, use)
            if not self._is_kept(other):
                return  # too large, or the disk is full: work ahead is lost
            use.ahead.add(self._entry(other, other.last).name)

    def _open_or_build(self, view: View, use: CacheUse) -> Rows:
        rows = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Whoever waits here finds the rows of whoever held the lock.
            with locked(self._lock(view)):
                rows = self._from_deepest(view, use)
        except OSError as error:
            use.problems.append(_not_kept(error))
        # Without the disk the rows are computed on every pass: slower, and the same numbers.
        if rows is None:
            return _from_images(view, use)
        return rows

    def _from_deepest(self, view: View, use: CacheUse) -> Rows:
        """Start from the deepest split point whose rows are there, else from the images."""
        for number in reversed(range(len(view.split_points))):
            # A view kept for a shallower freeze depth: only the units in between are left to run.
            rows = self._open(self._entry(view, number), use)
            if rows is not None:
                return self._go_on(view, rows, number, use)
        return self._compute(view, use)

    def _go_on(self, view: View, rows: Rows, number: int, use: CacheUse) -> Rows:
        """The last split point's rows from those of split point `number`."""
        if number == view.last:
            key = self._entry(view, number).name
            if key in use.ahead:
                use.ahead.remove(key)  # counted when it was built
            else:
                use.took(rows, build_s=0.0)
            return rows
        (advanced,) = build_rows((batch,) for batch in view.from_rows(rows, number))
        use.took(rows, build_s=advanced.build_s)
        if view.last in view.kept:
            # Whoever takes them later saves the whole way from the images, not its last part.
            whole_way_s = advanced.build_s + rows.build_s
            self._keep(view, view.last, dataclasses.replace(advanced, build_s=whole_way_s), use)
        return advanced

    def _compute(self, view: View, use: CacheUse) -> Rows:
        """Every split point's rows in one pass over the images; those worth it are kept."""
        built = build_rows(view.from_images())
        use.made(built[-1])
        # Those that other trials go on from, as well as this one's own.
        for number in sorted(view.kept):
            self._keep(view, number, built[number], use)
        return built[-1]

    def _open(self, entry: Path, use: CacheUse) -> Rows | None:
        """The rows of an entry; None where there is none, or none that is sound."""
        if not entry.is_dir():
            return None
        try:
            return open_entry(entry)
        except (OSError, ValueError) as error:
            use.problems.append(f"cache entry {entry.name} was damaged and is built again: {error}")
            # Dropped, so that it is built again and no later trial meets it.
            shutil.rmtree(entry, ignore_errors=True)
            return None

    def _keep(self, view: View, number: int, rows: Rows, use: CacheUse) -> None:
        """Keep rows; a disk that does not take them stops caching, not training."""
        entry = self._entry(view, number)
        try:
            if make_room(self.folder, rows.values.nbytes, max_bytes=self.max_gb * 1e9):
                write_entry(entry, rows, view.identity, view.split_points[number])
        except OSError as error:
            use.problems.append(_not_kept(error))

    def _entry(self, view: View, number: int) -> Path:
        return self.folder / cache_key(view.identity, split_point=view.split_points[number])

    def _lock(self, view: View) -> Path:
        # One lock for all split points: one pass writes the rows of several.
        return self.folder / f"{cache_key(view.identity, split_point='*')}.lock"

    def _is_kept(self, view: View) -> bool:
        return (self._entry(view, view.last) / META).is_file()

    def _is_busy(self, view: View) -> bool:
        """Whether another process holds a view's lock now."""
        try:
            with self._lock(view).open("rb") as file:
                # Closing the file lets go at once of what this look may have taken.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False  # nobody has asked for it yet
        return False


def cache_key(identity: dict[str, Any], *, split_point: str) -> str:
    """Return 32 hex digits that name a view's rows at a split point."""
    # "door" is what former versions called it: another word here would orphan every kept view.
    named = {"version": VERSION, "door": split_point, **identity}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:32]


def _from_images(view: View, use: CacheUse) -> Rows:
    """The last split point's rows in memory, from one pass over the images."""
    rows = build_rows(view.from_images())[-1]
    use.made(rows)
    return rows


def _not_kept(error: OSError) -> str:
    return f"activations are not kept: {error.strerror or error}"
