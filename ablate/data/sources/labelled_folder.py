"""folder, for task multilabel: your own images with any number of labels each.

They are listed in `labels.csv` of the folder that `data.path` names, or in the CSV that it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ablate.data.sources._base import Collection, Item
from ablate.data.sources._class_names import check_class_names, positions_of
from ablate.data.sources._column_names import ColumnNames, names_for, suggested
from ablate.data.sources._files import item_of, named_files, unlisted_remarks
from ablate.data.sources._index import (
    check_splits_complete,
    split_of_row,
    unread_columns_remarks,
)
from ablate.data.sources._places import relative_to
from ablate.data.sources._rule_columns import check_columns, rule_columns
from ablate.data.sources._table import Row, Table, read_table
from ablate.data.sources.image_folder import VERSION, data_path
from ablate.errors import DataError, escaped
from ablate.in_order import places
from ablate.study.trial import DataSpec

LABELS = "labels.csv"
# Not a comma, which parts the cells of the list itself.
SEPARATOR = ";"
USUAL = ColumnNames(image="image", label="labels", split="split")
"""`split` may be missing."""


def collect(spec: DataSpec, *, data_dir: Path) -> Collection:
    """Return the images that `labels.csv` lists.

    Raises NotAvailable where the folder does not exist, DataError where it leads outside or the
    list is wrong.
    """
    path = data_path(spec, data_dir=data_dir, what=f"a folder with {LABELS}")
    table, title = _table(path, spec)
    names = names_for(spec, USUAL)
    columns = rule_columns(spec)
    class_names, items = read_labels(table, data_dir=data_dir, also=columns, names=names)
    unread: list[str] = []
    if table != path:
        unread = _unread(table)
    if spec.columns is not None:
        unread += unread_columns_remarks(table, also=columns, names=names)
    return Collection(
        title=title,
        version=VERSION,
        licence="not stated",
        origin=f"data.path {relative_to(path, data_dir)}",
        is_synthetic=False,
        class_names=class_names,
        items=items,
        remarks=(*unlisted_remarks(table, items), *unread),
    )


def _table(path: Path, spec: DataSpec) -> tuple[Path, str]:
    """The list of images, and what the data set is called. Raises DataError."""
    # a folder may be called `birds.csv`
    if path.suffix.lower() == ".csv" and not path.is_dir():
        return path, path.stem
    _check_has_list(path, spec)
    return path / LABELS, path.name


def _check_has_list(root: Path, spec: DataSpec) -> None:
    try:
        has_list = (root / LABELS).is_file()
    except OSError:  # a folder that may be listed but not entered
        has_list = False
    if not has_list:
        raise DataError(
            f"for task multilabel data.path must be a folder with {LABELS} (columns image and "
            f"labels), or such a CSV, {spec.path!r} has none."
        )


def _unread(table: Path) -> list[str]:
    """Lines on other tables that lie beside the list."""
    lines = []
    for path in table.parent.glob("*.csv"):
        if path.name != table.name:
            lines.append(f"note: {escaped(path.name)} is not read, {escaped(table.name)} is")
    # sorted, as a file system lists its files in any order
    return sorted(lines)


def read_labels(
    path: Path,
    *,
    data_dir: Path,
    also: Mapping[str, str] | None = None,
    names: ColumnNames = USUAL,
) -> tuple[tuple[str, ...], tuple[Item, ...]]:
    """Read a list of images with their labels, `a.jpg,poppy;daisy`.

    An empty cell is an image without a label. Paths are relative to the list's folder. `also` are
    further columns that items keep, and `names` those of the list, as in `read_index`. Returns the
    class names, sorted, and items in the order of the file. Raises DataError, with the row, where
    the columns are others, an image is named twice, is missing or lies outside, a label is empty or
    given twice, or a split has another name.
    """
    kept = also or {}
    table = _checked_table(path, kept, names)
    labels_of_rows: list[list[str]] = []
    splits: list[str | None] = []
    for row in table.rows:
        labels_of_rows.append(_labels(row, table.name, column=names.label))
        splits.append(split_of_row(row, table.name, column=names.split))
    check_splits_complete(table, splits, column=names.split)
    # Sorted: the order of the rows decides nothing. An image without a label adds no class.
    class_names = tuple(sorted(set().union(*labels_of_rows)))
    check_class_names(class_names, where=table.name)
    position = places(class_names)
    files = named_files(table, names.image, root=path.parent, data_dir=data_dir, about=names.label)
    items = []
    rows = zip(files, labels_of_rows, splits, table.rows, strict=True)
    for file, labels, split, row in rows:
        label = positions_of(labels, position)
        items.append(item_of(file, label=label, split=split, cells=row.only(kept)))
    return class_names, tuple(items)


def _checked_table(path: Path, kept: Mapping[str, str], names: ColumnNames) -> Table:
    """The list with the columns that it must have. Raises DataError."""
    # Who separates labels by commas gets a row with too many cells: the hint tells the way.
    hint = f", and labels are separated by '{SEPARATOR}'"
    table = read_table(path, read={*names.read, *kept}, hint=hint)
    check_columns(kept, table)
    _check_cells(table, names, kept=kept)
    return table


def _check_cells(table: Table, names: ColumnNames, *, kept: Mapping[str, str]) -> None:
    names.check(table)
    _check_columns(table, names, kept=kept)
    for row in table.rows:
        if not row.cells[names.image]:
            raise DataError(
                f"every row of {table.name} must name an image, row {row.line} does not."
            )


def _check_columns(table: Table, names: ColumnNames, *, kept: Mapping[str, str]) -> None:
    """Check that there are the columns that must be. Raises DataError."""
    columns = []
    for column in table.columns:
        # What `group_by` or `split_by` name may stand beside the list's own columns; and a grid
        # file that names columns says that the others are not meant.
        is_meant = column not in kept and not names.given
        if column in names.read or is_meant:
            columns.append(column)
    must = [names.image, names.label]
    # No others: a column for each class, as other tools write it, would be ignored in silence.
    if sorted(columns) not in (sorted([*must, names.split]), sorted(must)):
        raise DataError(
            f"{table.name} must have the columns {' and '.join(must)}, and perhaps {names.split}, "
            f"got {', '.join(table.columns) or 'none'}{suggested(table, names)}."
        )


def _labels(row: Row, name: str, *, column: str) -> list[str]:
    cell = row.cells[column]
    if not cell:  # an image that shows none of the classes
        return []
    labels = list(map(str.strip, cell.split(SEPARATOR)))
    if "" in labels or len(set(labels)) < len(labels):
        raise DataError(
            f"labels must be different and not empty, got {cell!r} in row {row.line} of {name}."
        )
    return labels
