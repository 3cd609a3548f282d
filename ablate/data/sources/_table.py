"""A CSV file read strictly: a row without the cells that the header announces is refused."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import DataError, escaped, is_printable

_OTHER_SEPARATORS = ";\t|"
# What Excel writes as "Unicode text".
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    line: int
    """Where it begins in the file; the header is line 1."""
    cells: dict[str, str]
    """Column -> cell, without blanks around it."""

    def only(self, columns: Iterable[str]) -> dict[str, str]:
        """The cells of some columns."""
        cells = {}
        for column in columns:
            cells[column] = self.cells[column]
        return cells


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file with a header."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(path: Path, *, read: Collection[str], hint: str = "") -> Table:
    """Read a CSV file; empty lines are skipped.

    `read` are the columns that matter: only in others may a cell have line breaks, as notes do.
    `hint` is added to the message about rows with too many cells.

    Raises DataError, with the row, where it is no file of comma-separated values in UTF-8, where
    a column is given twice, or where a row has more or fewer cells than there are columns.
    """
    records = _records(path)
    # An empty file has a header without columns: whoever asks for some says which are missing.
    header: list[str] = []
    if records:
        header = records[0][1]
    _check_columns(path.name, header)
    rows = []
    for line, record in records[1:]:
        if len(record) != len(header):
            raise DataError(
                f"every row of {path.name} must have {len(header)} cells "
                f"({', '.join(header)}), row {line} has {len(record)}; "
                f'a cell with a comma must be in "quotes"{hint}.'
            )
        cells = dict(zip(header, record, strict=True))
        # The cells as they stand, not the dictionary: columns without a name share one key.
        _check_cells(
            zip(header, record, strict=True), len(header), read, row=f"{line} of {path.name}"
        )
        rows.append(Row(line, cells))
    return Table(path.name, tuple(header), tuple(rows))


def _check_cells(
    cells: Iterable[tuple[str, str]], n_columns: int, read: Collection[str], *, row: str
) -> None:
    """Check the columns and cells of one row. Raises DataError."""
    for column, cell in cells:
        if _is_broken(cell, is_read=column in read, n_columns=n_columns):
            raise DataError(
                "cells must be without control characters and line breaks, "
                f"row {row} has '{escaped(cell)}'; is a quote missing?"
            )


def _records(path: Path) -> list[tuple[int, list[str]]]:
    """The records of a file, each with the line that it begins on. Raises DataError."""
    # newline="" and strict: else csv repairs broken quotes in its own way.
    reader = csv.reader(io.StringIO(_text_of(path), newline=""), strict=True)
    records = []
    # csv counts lines of the file, and a record may span several: it begins behind the last one.
    line = 1
    try:
        for record in reader:
            if record:  # not an empty line
                records.append((line, list(map(str.strip, record))))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path.name} must be a CSV file, row {line} cannot be read ({error}); "
            'a cell with a comma, a quote or a line break must be in "quotes".'
        ) from error
    return records


def _is_broken(cell: str, *, is_read: bool, n_columns: int) -> bool:
    """Whether a cell has control characters that it should not have.

    Notes, in columns that are not read, may have them, unless they hold a whole row: that is how
    a missing quote shows.
    """
    if is_printable(cell):
        return False
    if is_read:
        return True
    # a line with as many commas as a row is one that a quote swallowed
    return any(line.count(",") >= n_columns - 1 for line in cell.splitlines())


def _check_columns(name: str, columns: Sequence[str]) -> None:
    # Columns without a name are no columns that anybody reads: spreadsheets leave them at the end.
    counts = Counter(filter(None, columns))
    twice = []
    for column, n in sorted(counts.items()):
        if n > 1:
            twice.append(column)
    if twice:
        raise DataError(
            f"each column of {name} must have a name of its own, {', '.join(twice)} is given more "
            "than once; remove or rename one."
        )
    # One column that holds another separator: a European spreadsheet, or TSV under the name of CSV.
    if len(columns) == 1 and set(columns[0]) & set(_OTHER_SEPARATORS):
        raise DataError(
            f"columns of {name} must be separated by commas, got '{escaped(columns[0])}'; "
            "save it as comma-separated values (in Python: sep=',')."
        )


def _text_of(path: Path) -> str:
    # Reading a pipe would wait for ever; a link to a file is a file.
    if not path.is_file():
        raise DataError(f"{path.name} must be a CSV file, it is not a regular file; replace it.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.name} must be readable, it is not ({error.strerror}).") from error
    if content.startswith(_WIDE):
        raise DataError(f"{path.name} must be in UTF-8, it is in UTF-16; save it as CSV UTF-8.")
    # UTF-16 without a byte order mark, or no text at all.
    zero = content.find(b"\0")
    if zero >= 0:
        raise DataError(
            f"{path.name} must be a CSV file in UTF-8, row {_row_at(content, zero)} has a zero "
            "byte; save it as CSV UTF-8."
        )
    return _decoded(content, path.name)


def _decoded(content: bytes, name: str) -> str:
    """The text of a file. Raises DataError, with the row, where it is not UTF-8."""
    try:
        # -sig: Excel begins a file with a mark that would be a part of the first column's name.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        position = error.start
        if content.startswith(codecs.BOM_UTF8):
            position += len(codecs.BOM_UTF8)  # the decoder counts from behind the mark
        raise DataError(
            f"{name} must be in UTF-8, row {_row_at(content, position)} is not "
            f"(byte 0x{content[position]:02x}); save it as CSV UTF-8."
        ) from error


def _row_at(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1
