"""The files that a table names: they exist, lie below its folder, and are each named once."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ablate.data.images import digest_of_image, look_at, read_image
from ablate.data.sources._base import Item
from ablate.data.sources._kinds import NAMED_IMAGES, UNREADABLE_SUFFIXES
from ablate.data.sources._places import below, relative_to
from ablate.data.sources._table import Row, Table
from ablate.errors import DataError, escaped, some
from ablate.targets import Label

_N_NAMED = 5
_N_SEARCHED = 20
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


def item_of(
    file: NamedFile, *, label: Label, split: str | None, cells: Mapping[str, str] | None = None
) -> Item:
    """Return the item of an image file."""
    # Errors call the file as the user does, below the folder, and not by its path on this machine.
    name = file.image_id
    return Item(
        name,
        label,
        split,
        read=partial(read_image, file.path, name=name),
        digest=partial(digest_of_image, file.path, name=name),
        look=partial(look_at, file.path, name=name),
        cells=cells or {},
    )


def named_files(
    table: Table, column: str, *, root: Path, data_dir: Path, about: str
) -> list[NamedFile]:
    """Return the files of a table's rows, in their order. `about` is a column that errors quote.

    Raises DataError naming all files that do not exist, that are no regular files, or that are
    named more than once, in whatever spelling.
    """
    paths: list[Path] = []
    for row in table.rows:
        paths.append(below(root, row.cells[column], what="an image", data_dir=data_dir))
    # By spelling before anything is looked up: the message can quote both rows.
    _check_once(table, paths, column=column, about=about)
    statuses = list(map(_status, paths))
    _check_files(table, paths, statuses, column=column)
    # Again by inode: two names can lead to one file by a link, or where capitals do not count.
    _check_once(table, list(map(_identity, paths, statuses)), column=column, about=about)
    files = []
    for path in paths:
        # the id follows from the path, not from the cell: `./a.jpg` and `a.jpg` are one image
        files.append(NamedFile(path, relative_to(path, root)))
    return files


def _check_files(
    table: Table,
    paths: Sequence[Path],
    statuses: Sequence[os.stat_result | None],
    *,
    column: str,
) -> None:
    """Check that every file is there and can be read. Raises DataError."""
    # All problems of one kind at once: an index of thousands is not mended row by row.
    missing = []
    unreadable = []
    for row, path, status in zip(table.rows, paths, statuses, strict=True):
        if status is None:
            missing.append((row, path))
        elif not _is_readable(path, status):
            unreadable.append(row)
    if missing:
        raise DataError(_missing_text(table, missing, column))
    if unreadable:
        raise DataError(
            f"every file of {table.name} must be a file that can be read, these are not: "
            f"{_quoted(unreadable, column)}; correct the names or leave out the rows."
        )


def unlisted_remarks(table: Path, items: Sequence[Item]) -> list[str]:
    """A line on how many images lie beside those that a table names, and are not taken."""
    left_out = _unlisted(table, items)
    if not left_out:
        return []
    example = escaped(left_out[0].relative_to(table.parent).as_posix())
    if len(left_out) == 1:
        return [
            f"left out: 1 image that lies beside those in {table.name} and is not in it: {example}"
        ]
    return [
        f"left out: {len(left_out)} images that lie beside those in {table.name} and are not in "
        f"it, for example {example}"
    ]


def _unlisted(table: Path, items: Sequence[Item]) -> list[Path]:
    """Images in the folders of a table's images that the table does not name, sorted."""
    listed = set()
    folders = set()
    for item in items:
        path = table.parent / item.image_id
        listed.add(path)
        folders.add(path.parent)
    left_out = []
    for folder in sorted(folders):
        for path in _visible_images(folder):
            if path not in listed:
                left_out.append(path)
    return left_out


def _visible_images(folder: Path) -> list[Path]:
    """What lies directly in a folder and is called as an image, sorted."""
    # listdir, not a walk: only folders that hold listed images, and nothing below them.
    images = []
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - sorted as names, not as paths
        if not name.startswith(".") and _has_image_suffix(folder / name):
            images.append(folder / name)
    return images


def _has_image_suffix(path: Path) -> bool:
    return path.suffix.lower() in NAMED_IMAGES | UNREADABLE_SUFFIXES


def _is_readable(path: Path, status: os.stat_result) -> bool:
    # Regular first: a pipe may be readable, and reading it would wait for ever.
    return stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK)


def _identity(path: Path, status: os.stat_result | None) -> object:
    """What two names of one file have in common; on file systems without inodes, the path."""
    if status is None or status.st_ino == 0:
        return path
    return (status.st_dev, status.st_ino)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _check_once(table: Table, keys: Sequence[object], *, column: str, about: str) -> None:
    """Check that no two rows have the same key. Raises DataError."""
    pairs = _repeats(table, keys)
    if not pairs:
        return
    # The first pair is quoted in full, with what both rows say of the file; the others are counted.
    earlier, later = pairs[0]
    names = list(dict.fromkeys([earlier.cells[column], later.cells[column]]))
    verb = "are one file"
    if len(names) == 1:
        verb = "is named"
    raise DataError(
        f"a file must be named once in {table.name}, "
        f"{' and '.join(map(repr, names))} {verb} in rows "
        f"{earlier.line} and {later.line}, with {about} {earlier.cells[about]!r} and "
        f"{later.cells[about]!r}; keep one row{_more_repeats(len(pairs) - 1)}."
    )


def _repeats(table: Table, keys: Sequence[object]) -> list[tuple[Row, Row]]:
    """Each row whose key an earlier row has, behind that one."""
    # key -> the first row that has it
    first: dict[object, Row] = {}
    pairs = []
    for row, key in zip(table.rows, keys, strict=True):
        if first.setdefault(key, row) is not row:
            pairs.append((first[key], row))
    return pairs


def _more_repeats(n_more: int) -> str:
    if n_more == 0:
        return ""
    if n_more == 1:
        return "; 1 more row repeats a file"
    return f"; {n_more} more rows repeat one"


def _missing_text(table: Table, missing: Sequence[tuple[Row, Path]], column: str) -> str:
    """The message for missing files, with the usual reasons where one of them shows."""
    rows = [row for row, _ in missing]
    hints = _hints(missing[:_N_SEARCHED])
    n_slashes = _n_with_backslash(rows, column)
    if n_slashes:
        hints.append(f"{n_slashes} of them have \\ in their names: write / instead of \\")
    hints.append("correct the names or leave out the rows")
    count = f"{len(rows)} are not there"
    if len(rows) == 1:
        count = "1 is not there"
    return (
        f"every file of {table.name} must exist, {count}: {_quoted(rows, column)}; "
        f"{'; '.join(hints)}."
    )


def _n_with_backslash(rows: Sequence[Row], column: str) -> int:
    n_rows = 0
    for row in rows:
        # A separator on Windows, where the table was written; elsewhere a letter of a name.
        n_rows += "\\" in row.cells[column]
    return n_rows


def _hints(missing: Sequence[tuple[Row, Path]]) -> list[str]:
    """What is there instead of some missing files, by the usual mistakes."""
    # Of some only: each costs a listing of its folder, and all are wrong in the same way.
    paths = [path for _, path in missing]
    hints = []
    with_suffix = _first_name(map(_called_with_suffix, paths))
    if with_suffix is not None:
        hints.append(f"{with_suffix!r} is there: names must have their suffix")
    other_spelling = _first_name(map(_called_otherwise, paths))
    if other_spelling is not None:
        hints.append(f"{other_spelling!r} is there, which differs in case or in its Unicode form")
    return hints


def _first_name(names: Iterable[str | None]) -> str | None:
    # lazily: the search ends with the first missing file that has a namesake
    return next(filter(None, names), None)


def _called_otherwise(path: Path) -> str | None:
    """The name of a file beside the missing one that differs in case or Unicode form alone."""
    try:
        beside = os.listdir(path.parent)  # noqa: PTH208 - names are compared, not paths
    except OSError:
        return None
    wanted = _folded(path.name)
    for name in beside:
        if _folded(name) == wanted:
            return name
    return None


def _called_with_suffix(path: Path) -> str | None:
    """The name of an image beside the missing file that is called as it, and has a suffix."""
    for suffix in sorted(NAMED_IMAGES):
        name = path.name + suffix
        if _status(path.with_name(name)) is not None:
            return name
    return None


def _folded(name: str) -> str:
    # macOS writes decomposed letters where a table, made elsewhere, has composed ones.
    return unicodedata.normalize("NFKC", name).casefold()


def _quoted(rows: Sequence[Row], column: str) -> str:
    words = []
    for row in rows:
        words.append(f"{row.cells[column]!r} (row {row.line})")
    return some(words, most=_N_NAMED)
