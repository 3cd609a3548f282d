"""folder: your own images, in class folders, class folders inside split folders, or a CSV index.

`data.path` is where they are below the data folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ablate.data.sources._base import Collection, Item, NotAvailable
from ablate.data.sources._class_names import check_class_names
from ablate.data.sources._column_names import names_for
from ablate.data.sources._files import NamedFile, item_of, unlisted_remarks
from ablate.data.sources._index import USUAL, read_index, unread_columns_remarks
from ablate.data.sources._layout import split_tops
from ablate.data.sources._places import below, relative_to
from ablate.data.sources._roles import called_alike
from ablate.data.sources._rule_columns import rule_columns
from ablate.data.sources._walk import ClassFolders
from ablate.errors import DataError, escaped, some
from ablate.study.trial import DataSpec

# Nobody numbers their own folders: what was in them is known by the digest of every image.
VERSION = "unversioned; see the fingerprint"
_WHAT = "a folder or a CSV file"
_SET_BY = "the data folder is set by --data-dir (make: DATA_DIR=...) or ABLATE_DATA."
_N_NAMED = 5
# What people give in place of a folder, and what is to be done about it; see `_way_out`.
_ARCHIVES = frozenset({".zip", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"})
_TABLES = frozenset({".tsv", ".txt", ".xls", ".xlsx", ".ods", ".json"})


def collect(spec: DataSpec, *, data_dir: Path) -> Collection:
    """Return the images of `spec.path`.

    Raises NotAvailable where it does not exist, DataError where it leads outside the data folder
    or holds nothing that can be used.
    """
    path = data_path(spec, data_dir=data_dir, what=_WHAT)
    class_names, items, remarks = _read(path, spec, data_dir=data_dir)
    title = path.name  # a folder's name may hold a point: flowers.v2
    if path.is_file():
        title = path.stem
    return Collection(
        title=title,
        version=VERSION,
        licence="not stated",
        origin=f"data.path {relative_to(path, data_dir)}",
        is_synthetic=False,
        class_names=class_names,
        items=items,
        remarks=tuple(remarks),
    )


def _read(
    path: Path, spec: DataSpec, *, data_dir: Path
) -> tuple[tuple[str, ...], tuple[Item, ...], Sequence[str]]:
    """Return class names, items and remarks on them, from an index or from folders."""
    # a folder may be called `birds.csv`
    if path.is_dir():
        name = relative_to(path, data_dir)
        _check_has_columns(spec, name)
        return _read_folders(path, name, data_dir=data_dir)
    if path.suffix.lower() != ".csv":
        raise DataError(_neither_text(path, spec.path or ""))
    columns = rule_columns(spec)
    names = names_for(spec, USUAL)
    class_names, items = read_index(
        path, root=path.parent, data_dir=data_dir, also=columns, names=names
    )
    unread = unread_columns_remarks(path, also=columns, names=names)
    return class_names, items, [*unread, *unlisted_remarks(path, items)]


def _check_has_columns(spec: DataSpec, name: str) -> None:
    if spec.columns is not None:
        raise DataError(
            f"data.columns names columns of a CSV, data.path {escaped(name)} is a folder; leave "
            "it out, or give the CSV's own path."
        )


def _neither_text(path: Path, given: str) -> str:
    """The message for what is neither a folder nor a CSV file."""
    kind = "the pipe, socket or device"
    if path.is_file():
        kind = "the file"
    return f"data.path must be {_WHAT}, got {kind} '{escaped(given)}'{_way_out(path)}."


def _way_out(path: Path) -> str:
    """What to do about a file that is neither a folder nor a CSV file; empty if unknown."""
    suffix = path.suffix.lower()
    if suffix == ".tar":
        return "; ask for source: webdataset if it is a shard of one, else unpack it"
    if suffix == ".parquet":
        return "; ask for source: parquet"
    if suffix in _ARCHIVES:
        return "; unpack it and give the folder"
    if suffix in _TABLES:
        return "; save it as CSV"
    return ""


def data_path(spec: DataSpec, *, data_dir: Path, what: str) -> Path:
    """Return the path that `data.path` names; `what` is what must lie there.

    Raises NotAvailable where there is nothing, DataError where it leads outside or is no path.
    """
    if not spec.path:
        raise DataError(
            f"data.path must be {what} below the data folder {escaped(str(data_dir))} where the "
            f"source is {spec.source}, got nothing; {_SET_BY}"
        )
    path = below(data_dir, spec.path, what="data.path")
    try:
        # Three ways to have nothing: only a path that is not there at all lets a fallback stand in.
        path.stat()
    except FileNotFoundError:
        kind: type[DataError] = NotAvailable
        reason = "which does not exist"
        # A link was set up by somebody, so a dead one is a fault and no reason for a fallback.
        if path.is_symlink():
            kind = DataError
            reason = f"a link to {escaped(str(path.resolve()))}, where nothing is"
    except OSError as error:
        kind = DataError
        reason = f"which cannot be read ({error.strerror})"
    else:
        return path
    raise kind(
        f"data.path must be {what} below the data folder {escaped(str(data_dir))}, got "
        f"'{escaped(spec.path)}', {reason}; {_SET_BY}"
    )


def _read_folders(
    root: Path, name: str, *, data_dir: Path
) -> tuple[tuple[str, ...], tuple[Item, ...], Sequence[str]]:
    """Return class names, items and remarks on them."""
    walk = ClassFolders(root, data_dir)
    tops = _tops(root, name, walk)
    class_names = _class_names(tops, walk)
    if not class_names:
        walk.check()
        raise DataError(_nothing_text(root, name, walk))
    check_class_names(class_names, where=f"data.path {name}")
    items: list[Item] = []
    for top, split in tops.items():
        for folder in walk.folders(top):
            label = class_names.index(folder.name)
            items += _items_of(walk, folder, label=label, split=split)
    # Files above the class folders have no label; without splits the root is the only top.
    for folder in dict.fromkeys([root, *tops]):
        walk.leave_out_files(folder)
    walk.check()
    _check_filled(tops, items, name)
    remarks = walk.remarks()
    if items:
        remarks += _remarks(root, name, items, walk)
    return class_names, tuple(items), remarks


def _tops(root: Path, name: str, walk: ClassFolders) -> Mapping[Path, str | None]:
    """The folders whose children are the classes, each with its split. Raises DataError."""
    try:
        return split_tops(root, name, folders=walk.folders)
    except DataError:
        # A folder that cannot be followed or read may be what is missing: report that first.
        walk.check()
        raise


def _class_names(tops: Mapping[Path, str | None], walk: ClassFolders) -> tuple[str, ...]:
    # Classes of all splits together: one that stands in test alone is refused later, by name.
    names: set[str] = set()
    for top in tops:
        for folder in walk.folders(top):
            names.add(folder.name)
    return tuple(sorted(names))


def _items_of(walk: ClassFolders, folder: Path, *, label: int, split: str | None) -> Iterator[Item]:
    """The images of one class folder, whose ids are their paths below the root of the walk."""
    for image in walk.images(folder):
        file = NamedFile(image, image.relative_to(walk.root).as_posix())
        yield item_of(file, label=label, split=split)


def _check_filled(tops: Mapping[Path, str | None], items: Sequence[Item], name: str) -> None:
    """Check that every split folder holds images. Raises DataError.

    An empty folder is not taken for a missing one, which would be drawn from train.
    """
    if not items:
        return  # `load_data` refuses a data set without any images
    filled = {item.split for item in items}
    for top, split in tops.items():
        if split and split not in filled:
            raise DataError(
                f"a split folder must hold images, {name}/{escaped(top.name)} holds none; fill or "
                "remove it (what is missing is drawn from train where data.split_seed and "
                "data.fractions are set)."
            )


def _nothing_text(root: Path, name: str, walk: ClassFolders) -> str:
    """The message for a folder without folders: files in it have no label."""
    files = walk.files(root)
    # The likely mistakes in order of what can be done: an index is there, or only files are.
    tables = _tables_among(files)
    text = f"a folder of images must hold one folder per class, {name} holds none"
    if tables:
        table = tables[0]
        return f"{text} but the CSV file {table}; data.path: {name}/{table} would read it."
    if files:
        return (
            f"{text} but {len(files)} files; sort them into class folders, or name them in a CSV "
            "(columns file, label) and give it as data.path."
        )
    return f"{text}."


def _tables_among(files: Sequence[str]) -> list[str]:
    """The CSV files among some file names, as a message shows them."""
    tables: list[str] = []
    for file in files:
        if file.lower().endswith(".csv"):
            tables.append(escaped(file))
    return tables


def _remarks(root: Path, name: str, items: Sequence[Item], walk: ClassFolders) -> list[str]:
    """What a reader may not expect: images deep in a class or called alike, an index unread."""
    remarks = []
    folders = _sub_folders(items)
    if folders:
        remarks.append(
            "note: images in sub-folders of a class count as images of that class: "
            f"{some(folders, most=_N_NAMED)}"
        )
    image_ids = [item.image_id for item in items]
    alike = called_alike(image_ids)
    if alike:
        remarks.append(
            f"note: {len(alike)} images have the name of another one beside them but for the "
            f"suffix, as masks or copies do; each is used: {some(alike, most=_N_NAMED)}"
        )
    tables = _tables_among(walk.files(root))
    if tables:
        remarks.append(
            f"note: {some(tables, most=_N_NAMED)} in {name} is not read, the folders are; an "
            f"index is given by its own path, data.path: {name}/{tables[0]} "
            "(labels.csv is for task multilabel)"
        )
    return remarks


def _sub_folders(items: Sequence[Item]) -> list[str]:
    """The folders inside class folders that hold images, sorted."""
    depth = 3  # split/class/folder
    if items[0].split is None:
        depth = 2  # class/folder
    folders = set()
    for item in items:
        parts = item.image_id.split("/")
        if len(parts) > depth:
            folders.add(escaped("/".join(parts[:depth])))
    return sorted(folders)
