"""parquet: tables with images in them, as the library `datasets` and the Hugging Face hub write.

`data/train-00000-of-00002.parquet` has a column of images (`{bytes, path}`, or bytes) and a column
of labels; names of classes stand in the file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ablate.data.sources._archived import archived_item
from ablate.data.sources._base import Collection, Item
from ablate.data.sources._column_names import ColumnNames, names_for
from ablate.data.sources._index import split_named
from ablate.data.sources._label_values import checked_names, labelled
from ablate.data.sources._parquet_images import ImageColumn, Kept
from ablate.data.sources._rule_columns import rule_columns
from ablate.data.sources._shards import Shard, find_shards, sharded
from ablate.data.sources.image_folder import data_path
from ablate.errors import DataError, escaped, first_line, is_printable, some
from ablate.study.trial import DataSpec

USUAL = ColumnNames(image="image", label="label", split="split")
_N_NAMED = 8
_LARGE_PAGE = 500_000_000
"""Bytes; pages above it are worth a line, since they are read whole, packed and unpacked."""


@dataclass(frozen=True, slots=True)
class _Roles:
    """Which columns hold what, and the names of the classes."""

    image: str
    label: str
    split: str | None
    class_names: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class _Table:
    """What is read of one file: all but its images."""

    shard: Shard
    columns: Mapping[str, Sequence[Any]]
    """Column -> its values; of the images, their paths."""
    images: ImageColumn

    def where(self, row: int) -> str:
        """How errors call a row; they count from 0, as `datasets` does."""
        return f"row {row} of {self.shard.name}"


def collect(spec: DataSpec, *, data_dir: Path) -> Collection:
    """Return the images of tables with one label each."""
    return _collect(spec, data_dir, several=False)


def collect_several_labels(spec: DataSpec, *, data_dir: Path) -> Collection:
    """Return the images of tables with a list of labels each."""
    return _collect(spec, data_dir, several=True)


def _collect(spec: DataSpec, data_dir: Path, *, several: bool) -> Collection:
    """Raises NotAvailable where there is nothing, DataError for tables that are broken or odd."""
    root = data_path(spec, data_dir=data_dir, what="a folder of .parquet files")
    shards = find_shards(root, suffix=".parquet", data_dir=data_dir)
    roles = _roles(shards[0], spec, several=several)
    kept = Kept()
    tables = [_table(shard, roles, spec, kept) for shard in shards]
    places = list(_places(tables, roles.label))
    if not places:
        raise DataError(f"tables must have rows, those of {escaped(root.name)} have none.")
    found = labelled(
        _values(tables, roles.label),
        names=roles.class_names,
        several=several,
        where=lambda i: places[i][0].where(places[i][1]),
        data=f"data.path {escaped(spec.path or '')}",
    )
    items: list[Item] = []
    for (table, row), label in zip(places, found.labels, strict=True):
        items.append(_item(table, row, label, roles, tuple(rule_columns(spec))))
    return sharded(
        root,
        class_names=found.class_names,
        items=items,
        remarks=[*found.remarks, *_page_remarks(tables)],
        data_dir=data_dir,
    )


def _page_remarks(tables: Sequence[_Table]) -> list[str]:
    """A line where a table can only be read in large pieces."""
    largest = max(tables, key=lambda table: table.images.page_bytes)
    n_bytes = largest.images.page_bytes
    if n_bytes <= _LARGE_PAGE:
        return []
    return [
        f"note: reading {largest.shard.name} may take {2 * n_bytes / 1e9:.1f} GB of memory at "
        "once, because of its long row groups; tables of images are best written with "
        "row_group_size=100"
    ]


def _item(table: _Table, row: int, label: Any, roles: _Roles, kept: tuple[str, ...]) -> Item:
    name = PurePosixPath(str(table.columns[roles.image][row] or "").replace("\\", "/")).name
    image_id = f"{table.shard.stem}/{row:06d}"
    # The file that the image once was, which `group_by` may look at.
    if name and is_printable(name):
        image_id = f"{image_id}-{name}"
    cells = {}
    for column in kept:
        value = table.columns[column][row]
        cells[column] = "" if value is None else str(value)
    split = table.shard.split
    if roles.split is not None:
        word = str(table.columns[roles.split][row])
        split = split_named(word, f"in {table.where(row)}")
    return archived_item(
        image_id, partial(table.images.fetch, row), label=label, split=split, cells=cells
    )


def _open(shard: Shard) -> Any:
    """The file, its metadata read. Raises DataError."""
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(shard.path, buffer_size=2**20, pre_buffer=False)
    except Exception as error:  # pyarrow raises its own, OSError and others
        raise DataError(
            f"a shard must be a whole Parquet file, {shard.name} is not ({first_line(error)}); "
            "copy it again."
        ) from error


def _places(tables: Iterable[_Table], label: str) -> Iterator[tuple[_Table, int]]:
    """The table and the row of every image, in the order of the files."""
    for table in tables:
        for row in range(len(table.columns[label])):
            yield table, row


def _values(tables: Iterable[_Table], column: str) -> list[Any]:
    """The cells of a column in the order of `_places`."""
    values: list[Any] = []
    for table in tables:
        values += table.columns[column]
    return values


def _table(shard: Shard, roles: _Roles, spec: DataSpec, kept: Kept) -> _Table:
    """The columns of a file that are read, but the images. Raises DataError."""
    with _open(shard) as file:
        names = list(file.schema_arrow.names)
        wanted = [roles.label, *filter(None, [roles.split]), *rule_columns(spec)]
        missing = [name for name in (roles.image, *wanted) if name not in names]
        if missing:
            raise DataError(
                f"every table must have the columns {roles.image}, {', '.join(wanted)}, "
                f"{shard.name} lacks {', '.join(map(escaped, missing))}; it has "
                f"{some(list(map(escaped, names)), most=_N_NAMED) or 'none'}."
            )
        _check_class_names(shard, _feature(file, roles.label), roles)
        columns: dict[str, Sequence[Any]] = {}
        try:
            for name in dict.fromkeys(wanted):
                columns[name] = file.read(columns=[name], use_threads=False)[name].to_pylist()
            columns[roles.image] = _paths(file, roles.image)
        except Exception as error:
            raise DataError(
                f"a shard must be a whole Parquet file, {shard.name} is not "
                f"({first_line(error)}); copy it again."
            ) from error
        return _Table(shard, columns, ImageColumn(shard, roles.image, file.metadata, kept))


def _paths(file: Any, image: str) -> Sequence[Any]:
    """The paths that images once had, without their bytes."""
    paths = [file.schema.column(i).path for i in range(len(file.schema))]
    if f"{image}.path" not in paths:
        return [None] * file.metadata.num_rows
    cells = file.read(columns=[f"{image}.path"], use_threads=False)[image].to_pylist()
    return [None if cell is None else cell["path"] for cell in cells]


def _roles(shard: Shard, spec: DataSpec, *, several: bool) -> _Roles:
    """Which columns of the first file hold what. Raises DataError where that is not clear."""
    columns = names_for(spec, USUAL)
    with _open(shard) as file:
        names = list(file.schema_arrow.names)
        columns.check_among(names, where=shard.name)
        image = _only(columns, "image", columns.image, _image_columns(file), names, shard)
        usual = columns.label
        if several and usual not in columns.given and usual not in names:
            usual = "labels"
        label = _only(columns, "label", usual, _label_columns(file), names, shard)
        has_split = columns.split in columns.given or (
            shard.split is None and columns.split in names
        )
        split = columns.split if has_split else None
        return _Roles(image, label, split, _names_in(_feature(file, label), shard))


def _only(
    columns: ColumnNames,
    role: str,
    usual: str,
    candidates: Sequence[str],
    names: Sequence[str],
    shard: Shard,
) -> str:
    """The column of a role: the one that is named, the usual one, or the only one that can be."""
    if usual in columns.given or usual in names:
        return usual
    if len(candidates) == 1:
        return candidates[0]
    shown = some(list(map(escaped, names)), most=_N_NAMED) or "none"
    raise DataError(
        f"a table must have a column of {role}s, {shard.name} has {shown}; say which is meant with "
        f"data.columns, e.g. {{{role}: {escaped(candidates[0]) if candidates else '...'}}}."
    )


def _image_columns(file: Any) -> list[str]:
    import pyarrow as pa

    found = []
    for field in file.schema_arrow:
        kind = field.type
        is_struct = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
        if is_struct or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            found.append(field.name)
    return found


def _label_columns(file: Any) -> list[str]:
    features = _features(file)
    return [name for name in file.schema_arrow.names if _class_label(features.get(name))]


def _features(file: Any) -> Mapping[str, Any]:
    """What `datasets` writes of the columns; empty where it did not write the file."""
    text = (file.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(text)["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _feature(file: Any, column: str) -> Any:
    return _features(file).get(column)


def _class_label(feature: Any) -> Mapping[str, Any] | None:
    """The feature that has names of classes: itself, or that of a list."""
    # Lists were written as [feature], as Sequence and as List by versions of `datasets`.
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    if isinstance(feature, dict) and feature.get("_type") in ("Sequence", "List", "LargeList"):
        feature = feature.get("feature")
    if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
        return feature
    return None


def _names_in(feature: Any, shard: Shard) -> tuple[str, ...] | None:
    label = _class_label(feature)
    if label is None or not isinstance(label.get("names"), list):
        return None
    return checked_names(label["names"], where=shard.name)


def _check_class_names(shard: Shard, feature: Any, roles: _Roles) -> None:
    names = _names_in(feature, shard)
    if names != roles.class_names:
        raise DataError(
            "all tables of a data set must name the same classes in the same order, "
            f"{shard.name} names others than the first; keep tables of one data set in a folder."
        )
