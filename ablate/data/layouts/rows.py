"""A stranger's table, read with patience: any separator, any encoding, rows of other lengths left.

A table that a grid file names is read strictly, by `data.sources._table`; from this one a strict
one is written.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import is_printable

_MOST_BYTES = 200_000_000
_SEPARATORS = ",;\t|"


@dataclass(frozen=True, slots=True)
class Rows:
    """A table with a header."""

    name: str
    """Its path below the folder."""
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    """One tuple a row, as long as the columns."""
    n_left_out: int
    """Rows that have more or fewer cells than there are columns."""

    @property
    def folder(self) -> str:
        """The folder that it lies in, below the one that is looked at."""
        return self.name.rpartition("/")[0]

    def column(self, name: str) -> list[str]:
        """The cells of one column."""
        position = self.columns.index(name)
        return [row[position] for row in self.cells]


def read_rows(path: Path, name: str) -> Rows | None:
    """Read a table; None where it is none, has no rows, or names two columns alike."""
    text = _text(path)
    if text is None:
        return None
    header = text.split("\n", 1)[0]
    # By the header alone: cells hold commas of all kinds, names of columns hardly do.
    separator = max(_SEPARATORS, key=header.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        # Empty lines, as editors leave them at the end, are no rows.
        records = list(filter(None, reader))
    except csv.Error:
        return None
    if len(records) < 2:
        return None
    columns = tuple(map(str.strip, records[0]))
    named = list(filter(None, columns))
    if len(set(named)) < len(named):
        return None
    cells = _stripped(records[1:], len(columns))
    return Rows(name, columns, cells, len(records) - 1 - len(cells))


def _stripped(records: Sequence[Sequence[str]], n_columns: int) -> tuple[tuple[str, ...], ...]:
    rows = []
    for record in records:
        # Control characters could not be written into a table that is read strictly.
        if len(record) == n_columns and all(map(is_printable, record)):
            rows.append(tuple(map(str.strip, record)))
    return tuple(rows)


def _text(path: Path) -> str | None:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    for encoding in ("utf-8-sig", "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ""):
        try:
            return content.decode(encoding or "latin-1")
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")
