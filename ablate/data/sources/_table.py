"""A CSV file read strictly: every row has the cells that the header announces, or its row is named."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import DataError, escaped, is_printable

_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    line: int
    """Where it begins in the file; the header is line 1."""
    cells: dict[str, str]
    """Column -> cell, without blanks around it."""


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file with a header."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(path: Path, *, read: Collection[str], hint: str = "") -> Table:
    """Read a CSV file; empty lines are skipped. `hint` says more of rows with too many cells.

    `read` are the columns that matter: only in others may a cell have line breaks, as notes do.

    Raises DataError, with the row, where it is no file of comma-separated values in UTF-8, where
    a column stands twice, or where a row has more or fewer cells than there are columns.
    """
    text = _text_of(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for record in reader:
            records.append((line, [cell.strip() for cell in record]))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f'{path.name} must be a CSV file, row {line} cannot be read ({error}); a cell with a comma, a quote or a line break stands in "quotes".'
        ) from error
    records = [(line, record) for line, record in records if record]  # not an empty line
    columns = tuple(records[0][1]) if records else ()
    _check_columns(path.name, columns)
    return Table(
        path.name, columns, tuple(_rows(path.name, columns, records[1:], hint=hint, read=read))
    )


def _rows(
    name: str,
    columns: Sequence[str],
    records: Sequence[tuple[int, list[str]]],
    *,
    hint: str,
    read: Collection[str],
) -> list[Row]:
    rows = []
    for line, record in records:
        if len(record) != len(columns):
            raise DataError(
                f"every row of {name} must have {len(columns)} cells "
                f"({', '.join(columns)}), row {line} has {len(record)}; "
                f'a cell with a comma stands in "quotes"{hint}.'
            )
        cells = dict(zip(columns, record, strict=True))
        odd = next(
            (cell for column, cell in cells.items() if _is_odd(cell, column in read, len(columns))),
            None,
        )
        if odd is not None:
            raise DataError(
                f"cells must be without control characters and line breaks, row {line} of {name} has '{escaped(odd)}'; is a quote missing?"
            )
        rows.append(Row(line, cells))
    return rows


def _is_odd(cell: str, is_read: bool, n_columns: int) -> bool:
    """Whether a cell has what no cell should have; of notes, whether they hold a whole row."""
    if is_printable(cell):
        return False
    return is_read or any(line.count(",") >= n_columns - 1 for line in cell.splitlines())


def _check_columns(name: str, columns: Sequence[str]) -> None:
    twice = sorted({column for column in columns if column and columns.count(column) > 1})
    if twice:
        raise DataError(
            f"each column of {name} must have a name of its own, {', '.join(twice)} stands more than once; remove or rename one."
        )
    separator = next((mark for mark in ";\t|" if len(columns) == 1 and mark in columns[0]), None)
    if separator is not None:
        raise DataError(
            f"columns of {name} must be separated by commas, got '{escaped(columns[0])}'; save it as comma-separated values (in Python: sep=',')."
        )


def _text_of(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path.name} must be a CSV file, it is no regular file; replace it.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.name} must be readable, it is not ({error.strerror}).") from error
    if content.startswith(_WIDE):
        raise DataError(f"{path.name} must be in UTF-8, it is in UTF-16; save it as CSV UTF-8.")
    zero = content.find(b"\0")
    if zero >= 0:
        raise DataError(
            f"{path.name} must be a CSV file in UTF-8, row {_row_at(content, zero)} has a zero byte; save it as CSV UTF-8."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = error.start + content.startswith(codecs.BOM_UTF8) * len(codecs.BOM_UTF8)
        raise DataError(
            f"{path.name} must be in UTF-8, row {_row_at(content, at)} is not (byte 0x{content[at]:02x}); save it as CSV UTF-8."
        ) from error


def _row_at(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1
