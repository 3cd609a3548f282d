"""An index file: CSV with the columns file, label, and perhaps class_name and split.

`data.columns` says where they are called otherwise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from ablate.data.sources._base import Item
from ablate.data.sources._class_names import check_class_names, in_label_order
from ablate.data.sources._column_names import ColumnNames, suggested
from ablate.data.sources._files import item_of, named_files
from ablate.data.sources._rule_columns import check_columns
from ablate.data.sources._table import Row, Table, read_table
from ablate.errors import DataError, some
from ablate.study.trial import SPLITS

# Words of one language: others are refused with the way out, see `_roles.split_and_rest`.
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""How folders and indexes call the splits, in lower case -> the split."""
USUAL = ColumnNames(image="file", label="label", class_name="class_name", split="split")
"""Columns of an index that are read; the first two must be there."""
_N_NAMED = 5


def read_index(
    path: Path,
    *,
    root: Path,
    data_dir: Path | None = None,
    also: Mapping[str, str] | None = None,
    names: ColumnNames = USUAL,
) -> tuple[tuple[str, ...], tuple[Item, ...]]:
    """Read an index of images below `root`; return class names, and items in the file's order.

    Class names are sorted by label, numbers as numbers. Image ids are relative to `root`, in one
    spelling. Links may lead to files below `data_dir`. `also` are further columns that items keep,
    column -> field of the grid file that names it. `names` are what the columns are called.
    Raises DataError, with the row, where a column is missing, a cell is empty, a file is missing,
    named twice or outside `root`, a split has another name, or classes differ in spelling alone.
    """
    kept = also or {}
    # Columns before cells before files: the earliest mistake explains the later ones.
    table = read_table(path, read={*names.read, *kept})
    check_columns(kept, table)
    _check_columns(table, names, kept=kept)
    _check_cells(table, names)
    splits = _splits_of(table, names)
    name_of_label = _name_of_label(table, names)
    # The position of a class in this order is the label that a network learns.
    labels = in_label_order(name_of_label)
    position: dict[str, int] = {}
    class_names: list[str] = []
    for number, word in enumerate(labels):
        position[word] = number
        class_names.append(name_of_label[word])
    files = named_files(table, names.image, root=root, data_dir=data_dir or root, about=names.label)
    items: list[Item] = []
    for file, row, split in zip(files, table.rows, splits, strict=True):
        label = position[row.cells[names.label]]
        items.append(item_of(file, label=label, split=split, cells=row.only(kept)))
    return tuple(class_names), tuple(items)


def _splits_of(table: Table, names: ColumnNames) -> list[str | None]:
    """The split of each row. Raises DataError."""
    splits: list[str | None] = []
    for row in table.rows:
        splits.append(split_of_row(row, table.name, column=names.split))
    check_splits_complete(table, splits, column=names.split)
    return splits


def split_of_row(row: Row, name: str, *, column: str) -> str | None:
    """Return the split that a row's cell names; None where it is empty or there is no column.

    Raises DataError.
    """
    word = row.cells.get(column, "")
    if not word:
        return None
    return split_named(word, f"in row {row.line} of {name}")


def split_named(word: str, where: str) -> str:
    """Return the split that a word stands for, e.g. `valid`. Raises DataError.

    `where` ends the error, e.g. `in row 3 of labels.csv`.
    """
    if word.lower() not in SPLIT_WORDS:
        raise DataError(f"a split must be one of {', '.join(SPLITS)}, got {word!r} {where}.")
    return SPLIT_WORDS[word.lower()]


def check_splits_complete(table: Table, splits: list[str | None], *, column: str) -> None:
    """Check that all rows of a table name a split or none does. Raises DataError."""
    # An index that half names splits could mean "the rest is train", or a forgotten cell.
    without: list[int] = []
    for row, split in zip(table.rows, splits, strict=True):
        if split is None:
            without.append(row.line)
    if without and len(without) < len(table.rows):
        raise DataError(
            f"all rows of {table.name} must name a split or none, {len(without)} of "
            f"{len(table.rows)} name none, the first is row {without[0]}; fill them in or leave "
            f"out the column {column}."
        )


def unread_columns_remarks(
    path: Path, *, also: Mapping[str, str] | None = None, names: ColumnNames = USUAL
) -> list[str]:
    """A line on the columns of an index that are not read; `also` are read beside the usual ones.

    One of them may be the split under another name.
    """
    read = {*names.read, *(also or {})}
    columns = read_table(path, read=read).columns
    unread = []
    for column in columns:
        # a column without a name is what a spreadsheet leaves at the end
        if column and column not in read:
            unread.append(column)
    if not unread:
        return []
    return [f"note: columns of {path.name} that are not read: {some(unread, most=_N_NAMED)}"]


def _check_columns(table: Table, names: ColumnNames, *, kept: Mapping[str, str]) -> None:
    """Refuse a column that the grid file names and the table lacks, and look-alikes of the others.

    Those are columns that differ from one that is read in capitals, blanks and the like alone:
    they would be ignored in silence. Raises DataError.
    """
    names.check(table)
    # What the grid file names is meant letter by letter.
    read_columns = {}
    for name in names.read:
        if name not in names.given:
            read_columns[_letters(name)] = name
    for column in table.columns:
        expected = read_columns.get(_letters(column), column)
        # What `group_by` names under such a word was asked for, and is read.
        if expected != column and column not in kept and column not in names.given:
            raise DataError(
                f"columns of {table.name} that are read must be called {', '.join(names.read)}, "
                f"letter by letter, got {column!r}; rename it to {expected}, or to a word that "
                "is no such column."
            )


def _letters(column: str) -> str:
    """`Class Name`, `class-name` -> `classname`."""
    return re.sub(r"[\W_]+", "", column.casefold())


def _check_cells(table: Table, names: ColumnNames) -> None:
    wanted = (names.image, names.label)
    missing = [column for column in wanted if column not in table.columns]
    if missing:
        raise DataError(
            f"an index must have the columns {' and '.join(wanted)}, {table.name} lacks "
            f"{', '.join(missing)}; it has {', '.join(table.columns) or 'none'}"
            f"{suggested(table, names)}."
        )
    for row in table.rows:
        if not row.cells[names.image] or not row.cells[names.label]:
            raise DataError(
                f"every row of an index must have a {names.image} and a {names.label}, row "
                f"{row.line} of {table.name} has not."
            )


def _name_of_label(table: Table, columns: ColumnNames) -> dict[str, str]:
    """Label -> class name. Raises DataError where two labels share a name or a label has two."""
    names: dict[str, str] = {}
    for row in table.rows:
        label = row.cells[columns.label]
        # no column, or an empty cell: the label itself is the name
        name = row.cells.get(columns.class_name) or label
        # The first row of a label names its class, and the others must agree.
        if names.setdefault(label, name) != name:
            raise DataError(
                f"each label must have one {columns.class_name} in {table.name}, label {label!r} "
                f"has {names[label]!r} and, in row {row.line}, {name!r}."
            )
    _check_used_once(names, table.name, column=columns.class_name)
    # Both are names in the eyes of a reader: labels `1` and `01`, and classes `Rose` and `rose`.
    check_class_names(names, where=table.name)
    check_class_names(names.values(), where=table.name)
    return names


def _check_used_once(names: Mapping[str, str], table_name: str, *, column: str) -> None:
    """Check that no two labels have one class name. Raises DataError."""
    twice = []
    for name, n in Counter(names.values()).items():
        if n > 1:
            twice.append(name)
    if twice:
        raise DataError(
            f"each label must have its own {column} in {table_name}, "
            f"these have several labels: {', '.join(sorted(twice))}."
        )
