"""A table beside the images, under whatever names its columns have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from ablate.data.layouts._base import (
    Found,
    LabelledImage,
    Trap,
    splits_given,
    without_splits,
)
from ablate.data.layouts._boxes import ImageIndex
from ablate.data.layouts._listing import Listing
from ablate.data.layouts.counted import counted
from ablate.data.layouts.mask_files import Sorted
from ablate.data.layouts.rows import Rows, read_rows
from ablate.data.layouts.table_columns import Columns, find_columns, labels_in
from ablate.data.layouts.tree import split_in_path, split_of_folder
from ablate.errors import escaped, some

_SUFFIXES = (".csv", ".tsv")
_N_NAMED = 5


@dataclass
class _Read:
    """What the rows of one table say."""

    labels: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    splits: dict[str, str | None] = field(default_factory=dict)
    cells: dict[str, dict[str, str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    n_unlabelled: int = 0


def read_table_beside(listing: Listing, sorted_images: Sorted) -> Found | None:
    """Labels by the tables of a folder; None where none names images and labels.

    Several tables with the same columns (`train.csv`, `val.csv`) are read as one.
    """
    index = ImageIndex(sorted_images.photos)
    chosen: Columns | None = None
    read = _Read()
    used = []
    for rows in _tables(listing):
        columns = find_columns(rows, index)
        if columns is None or (chosen is not None and columns != chosen):
            continue
        # The longest table decides: `train.csv` and `val.csv` agree, a table of classes does not.
        chosen = columns
        used.append(rows)
        _read_rows(rows, columns, index, read)
    if chosen is None or not read.labels:
        return None
    return _found(used, chosen, read, sorted_images.photos)


def _tables(listing: Listing) -> list[Rows]:
    """The tables of a folder, the longest first: one of classes is shorter than one of images."""
    tables = []
    for name in listing.others_ending(*_SUFFIXES):
        rows = read_rows(listing.path(name), name)
        if rows is not None:
            tables.append(rows)
    return sorted(tables, key=lambda rows: (-len(rows.cells), rows.name))


def _read_rows(rows: Rows, columns: Columns, index: ImageIndex, read: _Read) -> None:
    for record in rows.cells:
        row = dict(zip(rows.columns, record, strict=True))
        image = index.find(row[columns.file], near=rows.folder)
        if image is None:
            read.missing.append(row[columns.file])
            continue
        labels = _labels(row, columns)
        if not labels and len(columns.label) == 1 and not columns.has_lists:
            read.n_unlabelled += 1
            continue
        # In long tables an image has one row for each of its labels.
        read.labels[image].update(labels)
        read.splits[image] = _split(row, columns, rows, image)
        read.cells[image] = _other_cells(row, columns)


def _other_cells(row: dict[str, str], columns: Columns) -> dict[str, str]:
    """What may tell groups: a patient, a part, a video."""
    cells = {}
    for name, cell in row.items():
        if name not in columns.used:
            cells[name] = cell
    return cells


def _labels(row: dict[str, str], columns: Columns) -> tuple[str, ...]:
    if len(columns.label) > 1:
        marked = []
        for column in columns.label:
            # `1`, or `1.0`, as pandas writes a column that once lacked a cell.
            if row[column].startswith("1"):
                marked.append(column)
        return tuple(marked)
    cell = row[columns.label[0]]
    if columns.has_lists:
        return labels_in(cell)
    return (cell,) if cell else ()


def _split(row: dict[str, str], columns: Columns, rows: Rows, image: str) -> str | None:
    """By the column, else by the name of the table (`train.csv`), else by a folder."""
    if columns.split is not None:
        return split_of_folder(row[columns.split])
    stem = rows.name.rpartition("/")[2].rpartition(".")[0]
    return split_of_folder(stem) or split_in_path(image)


def _found(tables: Sequence[Rows], columns: Columns, read: _Read, photos: Sequence[str]) -> Found:
    # None is an answer too: an image without any label makes the task one of several.
    has_several = set(map(len, read.labels.values())) != {1}
    images = []
    for image in sorted(read.labels):
        labels = tuple(sorted(read.labels[image]))
        images.append(LabelledImage(image, labels, read.splits[image], read.cells[image]))
    names = some([escaped(rows.name) for rows in tables], most=_N_NAMED)
    label = some(list(map(escaped, columns.label)), most=_N_NAMED)
    evidence = f"{names}: images in column {escaped(columns.file)}, labels in {label}"
    if columns.split is not None:
        evidence += f", splits in {escaped(columns.split)}"
    return Found(
        layout="images with a table",
        evidence=evidence,
        images=_with_all_splits(images),
        has_several_labels=has_several,
        traps=tuple(_traps(tables, read, photos)),
    )


def _with_all_splits(images: list[LabelledImage]) -> tuple[LabelledImage, ...]:
    """The images; without splits where only some have one, which no source would read."""
    given = splits_given(images)
    if None not in given:
        return tuple(images)
    return without_splits(images)


def _traps(tables: Sequence[Rows], read: _Read, photos: Sequence[str]) -> list[Trap]:
    traps = []
    if read.missing:
        example = escaped(read.missing[0])
        text = f"{counted(read.missing, 'row')} of files that are not here, for example {example}"
        traps.append(Trap("missing files", f"{text}: left out"))
    n_unlisted = len(photos) - len(read.labels) - read.n_unlabelled
    if n_unlisted > 0:
        unlisted = next(name for name in photos if name not in read.labels)
        text = f"{counted(n_unlisted, 'image')} in no row, for example {escaped(unlisted)}"
        traps.append(Trap("images without a label", f"{text}: left out"))
    if read.n_unlabelled:
        text = f"{counted(read.n_unlabelled, 'row')} without a label: left out"
        traps.append(Trap("images without a label", text))
    n_odd = sum(rows.n_left_out for rows in tables)
    if n_odd:
        text = f"{counted(n_odd, 'row')} of more or fewer cells than there are columns: left out"
        traps.append(Trap("odd rows", text))
    return traps
