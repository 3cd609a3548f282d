"""The files that a table names: there, below its folder, each once however it is spelled."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ablate.data.images import digest_of_file, look_at, read_image
from ablate.data.sources._base import Item
from ablate.data.sources._kinds import NAMED_IMAGES, UNREADABLE_SUFFIXES
from ablate.data.sources._places import below, relative_to
from ablate.data.sources._table import Row, Table
from ablate.errors import DataError, escaped, some
from ablate.targets import Label

_N_NAMED = 5
_N_LOOKED = 20
"""Missing files whose folders are searched for another spelling."""


@dataclass(frozen=True, slots=True)
class NamedFile:
    """An image file below a folder."""

    path: Path
    image_id: str
    """POSIX path relative to the folder, in one spelling."""


def file_item(
    root: Path, relative: str, *, label: Label, split: str | None, data_dir: Path | None = None
) -> Item:
    """Return the item of an image file below `root`. Raises DataError where it lies outside."""
    path = below(root, relative, what="an image", data_dir=data_dir)
    return item_of(NamedFile(path, relative), label=label, split=split)


def item_of(file: NamedFile, *, label: Label, split: str | None) -> Item:
    """Return the item of an image file."""
    name = file.image_id
    return Item(
        name,
        label,
        split,
        read=partial(read_image, file.path, name=name),
        digest=partial(digest_of_file, file.path, name=name),
        look=partial(look_at, file.path, name=name),
    )


def named_files(
    table: Table, column: str, *, root: Path, data_dir: Path, about: str
) -> list[NamedFile]:
    """Return the files of a table's rows, in their order. `about` is a column that errors quote.

    Raises DataError naming all files that do not exist, that are no regular files, or that stand
    there more than once, in whatever spelling.
    """
    paths = [
        below(root, row.cells[column], what="an image", data_dir=data_dir) for row in table.rows
    ]
    _check_once(table, paths, column=column, about=about)
    statuses = [_status(path) for path in paths]
    states = list(zip(table.rows, paths, statuses, strict=True))
    gone = [(row, path) for row, path, status in states if status is None]
    if gone:
        raise DataError(_gone_text(table, gone, column))
    odd = [row for row, path, status in states if not _is_readable(path, status)]
    if odd:
        raise DataError(
            f"every file of {table.name} must be a file that can be read, these are not: {_quoted(odd, column)}; correct the names or leave out the rows."
        )
    _check_once(table, list(map(_identity, paths, statuses)), column=column, about=about)
    return [NamedFile(path, relative_to(path, root)) for path in paths]


def unlisted_remarks(table: Path, items: Sequence[Item]) -> list[str]:
    """Say how many images lie beside those that a table names, and are not taken."""
    listed = {table.parent / item.image_id for item in items}
    left_out = []
    for folder in sorted({path.parent for path in listed}):
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        paths = [folder / name for name in names]
        left_out += [path for path in paths if path not in listed and _has_image_suffix(path)]
    if not left_out:
        return []
    example = escaped(left_out[0].relative_to(table.parent).as_posix())
    return [
        f"left out: {len(left_out)} images that lie beside those in {table.name} and are not in it, for example {example}"
    ]


def _has_image_suffix(path: Path) -> bool:
    return path.suffix.lower() in NAMED_IMAGES | UNREADABLE_SUFFIXES


def _is_readable(path: Path, status: os.stat_result | None) -> bool:
    return status is not None and stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK)


def _identity(path: Path, status: os.stat_result | None) -> object:
    """What two names of one file, by a link, have in common; some file systems have no numbers."""
    if status is None or status.st_ino == 0:
        return path
    return (status.st_dev, status.st_ino)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _check_once(table: Table, keys: Sequence[object], *, column: str, about: str) -> None:
    """Raise DataError where two rows have one key."""
    first: dict[object, Row] = {}
    pairs = []
    for row, key in zip(table.rows, keys, strict=True):
        if first.setdefault(key, row) is not row:
            pairs.append((first[key], row))
    if not pairs:
        return
    earlier, later = pairs[0]
    names = list(dict.fromkeys([earlier.cells[column], later.cells[column]]))
    verb = "stands" if len(names) == 1 else "are one file"
    others = f"; so it is with {len(pairs) - 1} more rows" if len(pairs) > 1 else ""
    raise DataError(
        f"a file must stand once in {table.name}, {' and '.join(map(repr, names))} {verb} in rows "
        f"{earlier.line} and {later.line}, with {about} {earlier.cells[about]!r} and "
        f"{later.cells[about]!r}; keep one row{others}."
    )


def _gone_text(table: Table, gone: Sequence[tuple[Row, Path]], column: str) -> str:
    rows = [row for row, _ in gone]
    hints = ["correct the names or leave out the rows"]
    n_slashes = sum("\\" in row.cells[column] for row in rows)
    if n_slashes:
        hints.insert(0, f"{n_slashes} of them have \\ in their names: write / instead of \\")
    other = next(filter(None, (_called_otherwise(path) for _, path in gone[:_N_LOOKED])), None)
    if other is not None:
        hints.insert(0, f"{other!r} is there, which differs in case or in its Unicode form")
    full = next(filter(None, (_called_with_suffix(path) for _, path in gone[:_N_LOOKED])), None)
    if full is not None:
        hints.insert(0, f"{full!r} is there: names must have their suffix")
    noun = "1 is not there" if len(gone) == 1 else f"{len(gone)} are not there"
    return f"every file of {table.name} must exist, {noun}: {_quoted(rows, column)}; {'; '.join(hints)}."


def _called_otherwise(path: Path) -> str | None:
    """The name of a file beside the missing one that differs in case or Unicode form alone."""
    try:
        beside = os.listdir(path.parent)  # noqa: PTH208 - names are compared, not paths
    except OSError:
        return None
    wanted = _folded(path.name)
    return next((name for name in beside if _folded(name) == wanted), None)


def _called_with_suffix(path: Path) -> str | None:
    """The name of an image beside the missing file that is called as it, and has a suffix."""
    names = sorted(path.name + suffix for suffix in NAMED_IMAGES)
    return next((name for name in names if _status(path.with_name(name)) is not None), None)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _quoted(rows: Sequence[Row], column: str) -> str:
    return some([f"{row.cells[column]!r} (row {row.line})" for row in rows], most=_N_NAMED)
