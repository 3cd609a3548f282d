"""An index file: CSV with the columns file, label, and perhaps class_name and split."""

from __future__ import annotations

import csv
from collections import Counter
from functools import partial
from pathlib import Path

from ablate.data.images import below, digest_of_file, look_at, read_image
from ablate.data.sources._base import Item, Label
from ablate.errors import DataError
from ablate.spec.trial import SPLITS

SPLIT_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test", "testing": "test"}
"""How folders and indexes call the splits, in lower case -> the split."""


def file_item(root: Path, relative: str, *, label: Label, split: str | None) -> Item:
    """Return the item of an image file below `root`. Raises DataError where the file lies outside."""
    path = below(root, relative, what="an image")
    return Item(
        relative,
        label,
        split,
        read=partial(read_image, path, name=relative),
        digest=partial(digest_of_file, path, name=relative),
        look=partial(look_at, path, name=relative),
    )


def read_index(path: Path, *, root: Path) -> tuple[tuple[str, ...], tuple[Item, ...]]:
    """Read an index of images below `root`; return class names (sorted labels, numbers as numbers) and items in the order of the file.

    Raises DataError where a column is missing, a cell is empty, a file stands twice or outside `root`, a split has another name.
    """
    rows = _rows(path)
    labels = sorted({row["label"] for row in rows}, key=_by_number(rows))
    names = {row["label"]: row.get("class_name") or row["label"] for row in rows}
    if len(set(names.values())) < len(names):
        twice = sorted(name for name, n in Counter(names.values()).items() if n > 1)
        raise DataError(f"each label must have its own class_name in {path.name}, these have several labels: {', '.join(twice)}.")
    position = {label: i for i, label in enumerate(labels)}
    items = [file_item(root, row["file"], label=position[row["label"]], split=_split_of(row, path)) for row in rows]
    return tuple(names[label] for label in labels), tuple(items)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            rows = [{key: (value or "").strip() for key, value in row.items() if isinstance(key, str)} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"an index must be a CSV file in UTF-8 that can be read, {path.name} is not ({error}).") from error
    missing = [column for column in ("file", "label") if column not in columns]
    if missing:
        raise DataError(f"an index must have the columns file and label, {path.name} lacks {', '.join(missing)}; it has {', '.join(columns) or 'none'}.")
    for line, row in enumerate(rows, start=2):
        if not row["file"] or not row["label"]:
            raise DataError(f"every row of an index must have a file and a label, row {line} of {path.name} has not.")
    twice = [name for name, n in Counter(row["file"] for row in rows).items() if n > 1]
    if twice:
        raise DataError(f"a file must stand once in an index, {path.name} has {twice[0]!r} more than once ({len(twice)} such files).")
    return rows


def _by_number(rows: list[dict[str, str]]) -> type[int] | type[str]:
    return int if all(row["label"].isascii() and row["label"].isdigit() for row in rows) else str


def _split_of(row: dict[str, str], path: Path) -> str | None:
    word = row.get("split")
    if not word:
        return None
    if word.lower() not in SPLIT_WORDS:
        raise DataError(f"a split must be one of {', '.join(SPLITS)}, got {word!r} for {row['file']} in {path.name}.")
    return SPLIT_WORDS[word.lower()]
