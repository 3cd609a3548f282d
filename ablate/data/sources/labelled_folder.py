"""folder, for task multilabel: your own images with any number of labels each.

They are listed in `labels.csv` of the folder that `data.path` names, or in the CSV that it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ablate.data.sources._base import Collection, Item
from ablate.data.sources._class_names import check_class_names
from ablate.data.sources._files import item_of, named_files, unlisted_remarks
from ablate.data.sources._index import check_splits_complete, split_of_row
from ablate.data.sources._places import relative_to
from ablate.data.sources._rule_columns import check_columns, rule_columns
from ablate.data.sources._table import Row, Table, read_table
from ablate.data.sources.image_folder import VERSION, data_path
from ablate.errors import DataError, escaped
from ablate.study.trial import DataSpec

LABELS = "labels.csv"
# Not a comma, which parts the cells of the list itself.
SEPARATOR = ";"
COLUMNS = ("image", "labels", "split")
"""`split` may be missing."""


def collect(spec: DataSpec, *, data_dir: Path) -> Collection:
    """Return the images that `labels.csv` lists.

    Raises NotAvailable where the folder does not exist, DataError where it leads outside or the
    list is wrong.
    """
    path = data_path(spec, data_dir=data_dir, what=f"a folder with {LABELS}")
    table = path
    title = path.stem
    unread: list[str] = []
    # a folder may be called `birds.csv`
    if path.is_dir() or path.suffix.lower() != ".csv":
        _check_has_list(path, spec)
        table = path / LABELS
        title = path.name
        unread = _unread(path)
    class_names, items = read_labels(table, data_dir=data_dir, also=rule_columns(spec))
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


def _check_has_list(root: Path, spec: DataSpec) -> None:
    try:
        has_list = (root / LABELS).is_file()
    except OSError:  # a folder that may be listed but not entered
        has_list = False
    if not has_list:
        raise DataError(
            f"for task multilabel data.path must be a folder with {LABELS} (columns image and "
            f"labels), {spec.path!r} has none."
        )


def _unread(root: Path) -> list[str]:
    """Lines on other tables that lie beside the list."""
    lines = []
    for path in root.glob("*.csv"):
        if path.name != LABELS:
            lines.append(f"note: {escaped(path.name)} is not read, {LABELS} is")
    # sorted, as a file system lists its files in any order
    return sorted(lines)


def read_labels(
    path: Path, *, data_dir: Path, also: Mapping[str, str] | None = None
) -> tuple[tuple[str, ...], tuple[Item, ...]]:
    """Read a list of images with their labels, `a.jpg,poppy;daisy`.

    An empty cell is an image without a label. Paths are relative to the list's folder. `also` are
    further columns that items keep, as in `read_index`. Returns the class names, sorted, and items
    in the order of the file. Raises DataError, with the row, where the columns are others, an image
    is named twice, is missing or lies outside, a label is empty or given twice, or a split has
    another name.
    """
    kept = also or {}
    table = _checked_table(path, kept)
    labels_of_rows: list[list[str]] = []
    splits: list[str | None] = []
    for row in table.rows:
        labels_of_rows.append(_labels(row, table.name))
        splits.append(split_of_row(row, table.name))
    check_splits_complete(table, splits)
    # Sorted: the order of the rows decides nothing. An image without a label adds no class.
    class_names = tuple(sorted(set().union(*labels_of_rows)))
    check_class_names(class_names, where=table.name)
    position = dict(zip(class_names, range(len(class_names)), strict=True))
    files = named_files(table, "image", root=path.parent, data_dir=data_dir, about="labels")
    items = []
    rows = zip(files, labels_of_rows, splits, table.rows, strict=True)
    for file, labels, split, row in rows:
        # Sorted: the order of labels in a cell means nothing, and the fingerprint must not see it.
        label = tuple(sorted(position[word] for word in labels))
        items.append(item_of(file, label=label, split=split, cells=row.only(kept)))
    return class_names, tuple(items)


def _checked_table(path: Path, kept: Mapping[str, str]) -> Table:
    """The list with the columns that it must have. Raises DataError."""
    # Who separates labels by commas gets a row with too many cells: the hint tells the way.
    hint = f", and labels are separated by '{SEPARATOR}'"
    table = read_table(path, read={*COLUMNS, *kept}, hint=hint)
    check_columns(kept, table)
    _check_cells(table, kept=kept)
    return table


def _check_cells(table: Table, *, kept: Mapping[str, str]) -> None:
    columns = []
    for column in table.columns:
        # what `group_by` or `split_by` name may stand beside the list's own columns
        if column in COLUMNS or column not in kept:
            columns.append(column)
    # No others: a column for each class, as other tools write it, would be ignored in silence.
    if sorted(columns) not in (sorted(COLUMNS), sorted(COLUMNS[:2])):
        raise DataError(
            f"{table.name} must have the columns image and labels, and perhaps split, "
            f"got {', '.join(table.columns) or 'none'}."
        )
    for row in table.rows:
        if not row.cells["image"]:
            raise DataError(
                f"every row of {table.name} must name an image, row {row.line} does not."
            )


def _labels(row: Row, name: str) -> list[str]:
    cell = row.cells["labels"]
    if not cell:  # an image that shows none of the classes
        return []
    labels = list(map(str.strip, cell.split(SEPARATOR)))
    if "" in labels or len(set(labels)) < len(labels):
        raise DataError(
            f"labels must be different and not empty, got {cell!r} in row {row.line} of {name}."
        )
    return labels
