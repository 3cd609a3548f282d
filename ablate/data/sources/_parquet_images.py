"""Images out of a column of Parquet files: in stretches of rows, so that memory stays bounded.

A column is kept in row groups that can only be read from their first row on. So a stretch is kept
until others have taken its room; whoever asks for the next rows goes on where the last one stopped.
"""

from __future__ import annotations

import bisect
import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ablate.data.encoded import MAX_BYTES
from ablate.data.sources._shards import Shard
from ablate.errors import DataError

STRETCH_BYTES = 8 * 2**20
"""How much is read at once, about: a row group's bytes over its rows say how many rows that is."""
KEPT_BYTES = 128 * 2**20
"""Bound on what is kept of all files of a data set, but for the last stretch."""
_MOST_ROWS = 256

_PAGE_ROWS = 1_024
"""Rows of a page, which is read as a whole, as most libraries write it."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Where a row group lies, and how it is cut."""

    first: int
    """Its first row in the file."""
    n_rows: int
    stretch: int
    """Rows read at once."""
    page_bytes: int
    """Of a page, where it is as long as libraries make it."""


@dataclass(slots=True)
class _Reading:
    """Where reading stopped."""

    shard: Shard
    group: _Group
    position: int
    """The row of the file that comes next."""
    stretches: Iterator[list[bytes | None]]
    """What yields the next ones."""

    def leads_to(self, shard: Shard, group: _Group, first: int) -> bool:
        """Whether going on comes to row `first` of a row group."""
        return self.shard == shard and self.group == group and self.position <= first


class Kept:
    """Stretches of rows that were read last, of all files of a data set."""

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self.lock = threading.Lock()
        self._most = most
        self._stretches: OrderedDict[tuple[str, int], list[bytes | None]] = OrderedDict()
        self.n_bytes = 0
        # One for all files: of a thousand shards, a thousand would stay open.
        self.reading: _Reading | None = None

    def get(self, key: tuple[str, int]) -> list[bytes | None] | None:
        """Return a stretch by its file and first row, if it is still there."""
        if key in self._stretches:
            self._stretches.move_to_end(key)
        return self._stretches.get(key)

    def put(self, key: tuple[str, int], stretch: list[bytes | None]) -> None:
        """Keep a stretch, and drop those that were not asked for the longest."""
        self._stretches[key] = stretch
        self.n_bytes += _size(stretch)
        while self.n_bytes > self._most and len(self._stretches) > 1:
            _, dropped = self._stretches.popitem(last=False)
            self.n_bytes -= _size(dropped)


def _size(stretch: list[bytes | None]) -> int:
    # A row without an image takes none, as one with an empty image.
    return sum(map(len, filter(None, stretch)))


class ImageColumn:
    """The images of one file."""

    def __init__(self, shard: Shard, column: str, metadata: Any, kept: Kept) -> None:
        """`column` is its name, `metadata` what pyarrow tells of the file."""
        self._shard = shard
        self._column = column
        self._groups = list(_groups(metadata, column))
        self._firsts = [group.first for group in self._groups]
        self._kept = kept

    @property
    def page_bytes(self) -> int:
        """The memory that the largest page may take, which no stretch can be shorter than."""
        return max((group.page_bytes for group in self._groups), default=0)

    def fetch(self, row: int) -> bytes:
        """Return the encoded image of a row. Raises DataError."""
        group = self._groups[bisect.bisect_right(self._firsts, row) - 1]
        within = row - group.first
        first = group.first + within - within % group.stretch
        # One thread reads; decoding what it returns is most of the work, and is done by all.
        with self._kept.lock:
            stretch = self._kept.get((self._shard.name, first))
            if stretch is None:
                stretch = self._read_to(group, first)
            content = stretch[row - first] if row - first < len(stretch) else None
        where = f"row {row} of {self._shard.name}"
        if content is None:
            raise DataError(
                f"an image must have its bytes in column {self._column}, {where} has none; write "
                "the images into the table, as `datasets` does with embed_external_files."
            )
        if len(content) > MAX_BYTES:
            raise DataError(
                f"an image must have at most {MAX_BYTES} bytes, {where} has {len(content)}; scale "
                "it down."
            )
        return content

    def _read_to(self, group: _Group, first: int) -> list[bytes | None]:
        """Read stretches up to the one that begins at row `first`, and keep them."""
        reading = self._kept.reading
        if reading is None or not reading.leads_to(self._shard, group, first):
            reading = _Reading(self._shard, group, group.first, self._stretches(group))
            self._kept.reading = reading
        try:
            for stretch in reading.stretches:
                start = reading.position
                self._kept.put((self._shard.name, start), stretch)
                reading.position += len(stretch)
                if start == first:
                    return stretch
        except Exception as error:  # pyarrow raises its own, OSError and others on damage
            self._kept.reading = None
            raise DataError(_damaged_text(self._shard, error)) from error
        self._kept.reading = None
        raise DataError(_damaged_text(self._shard, "it has fewer rows than it says"))

    def _stretches(self, group: _Group) -> Iterator[list[bytes | None]]:
        import pyarrow.parquet as pq

        # buffer_size: pages are read one after the other, and not the whole column of a row group.
        with pq.ParquetFile(self._shard.path, buffer_size=2**20, pre_buffer=False) as file:
            number = self._groups.index(group)
            batches = file.iter_batches(
                batch_size=group.stretch,
                row_groups=[number],
                columns=[_leaf(file.schema, self._column)],
                use_threads=False,
            )
            rows = itertools.chain.from_iterable(map(_rows_of, batches))
            # Batches may end with a page: cut anew, so that each stretch begins where it is sought.
            while stretch := list(itertools.islice(rows, group.stretch)):
                yield stretch


def _rows_of(batch: Any) -> Iterator[bytes | None]:
    for value in batch.column(0):
        content = value.as_py()
        if isinstance(content, dict):
            content = content.get("bytes")
        yield content


def _leaf(schema: Any, column: str) -> str:
    """The path of what holds the bytes: of a struct, its field `bytes` alone."""
    paths = [schema.column(i).path for i in range(len(schema))]
    inner = f"{column}.bytes"
    return inner if inner in paths else column


def _groups(metadata: Any, column: str) -> Iterator[_Group]:
    first = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        n_bytes = 0
        for i in range(group.num_columns):
            chunk = group.column(i)
            # A struct has one chunk for each of its fields: `image.bytes`, `image.path`.
            if chunk.path_in_schema.split(".")[0] == column:
                n_bytes += chunk.total_uncompressed_size
        n_rows = group.num_rows
        if n_rows:
            a_row = max(1, n_bytes // n_rows)
            stretch = min(max(1, STRETCH_BYTES // a_row), _MOST_ROWS)
            yield _Group(first, n_rows, stretch, a_row * min(n_rows, _PAGE_ROWS))
        first += n_rows


def _damaged_text(shard: Shard, error: object) -> str:
    line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"a shard must be a whole Parquet file, {shard.name} is not ({line}); copy it again."
