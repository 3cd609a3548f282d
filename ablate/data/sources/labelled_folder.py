"""folder, for task multilabel: your own images with any number of labels each, listed in `labels.csv` of the folder that `data.path` names."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ablate.data.images import below
from ablate.data.sources._base import Collection, Item, NotToBeHad
from ablate.data.sources._index import SPLIT_WORDS, file_item
from ablate.errors import DataError, some
from ablate.spec.trial import SPLITS, DataSpec

LABELS, SEPARATOR = "labels.csv", ";"
COLUMNS = ("image", "labels", "split")
"""`split` may be missing."""
_N_NAMED = 5


def collect(spec: DataSpec, *, data_dir: Path) -> Collection:
    """Return the images that `labels.csv` lists. Raises NotToBeHad where the folder does not exist, DataError where it leads outside or the list is wrong."""
    if not spec.path:
        raise DataError(f"source folder needs data.path: a folder with {LABELS} below the data folder.")
    root = below(data_dir, spec.path, what="data.path")
    if not root.exists():
        raise NotToBeHad(f"data.path must be a folder below the data folder {data_dir}, got {spec.path!r}, which does not exist.")
    if not (root / LABELS).is_file():
        raise DataError(f"for task multilabel data.path must be a folder with {LABELS} (columns image and labels), {spec.path!r} has none.")
    class_names, items = read_labels(root / LABELS)
    return Collection(
        title=root.name,
        version="unversioned; see the fingerprint",
        licence="not stated",
        origin=f"data.path {Path(spec.path).as_posix()}",
        is_synthetic=False,
        class_names=class_names,
        items=items,
    )


def read_labels(path: Path) -> tuple[tuple[str, ...], tuple[Item, ...]]:
    """Read a list of images with their labels, `a.jpg,poppy;daisy`; an empty cell is an image without a label. Paths are relative to the list's folder.

    Returns the class names, sorted, and items in the order of the file. Raises DataError where the columns are others, an image is named twice, is missing or
    lies outside, a label is empty or stands twice, a split has another name.
    """
    rows = _rows(path)
    labels = [_labels(row["labels"], line=line, name=path.name) for line, row in enumerate(rows, start=2)]
    class_names = tuple(sorted({label for own in labels for label in own}))
    position = {label: i for i, label in enumerate(class_names)}
    items = [
        file_item(
            path.parent, row["image"], label=tuple(sorted(position[label] for label in own)), split=_split(row.get("split", ""), line=line, name=path.name)
        )
        for line, (row, own) in enumerate(zip(rows, labels, strict=True), start=2)
    ]
    missing = [row["image"] for row in rows if not (path.parent / row["image"]).is_file()]
    if missing:
        raise DataError(f"every image of {path.name} must exist, {_named(missing)} not; correct the names or leave out the rows.")
    return class_names, tuple(items)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} must be a CSV file in UTF-8 that can be read, it is not ({error}).") from error
    if sorted(columns) not in (sorted(COLUMNS), sorted(COLUMNS[:2])):
        raise DataError(f"{path.name} must have the columns image and labels, and perhaps split, got {', '.join(columns) or 'none'}.")
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise DataError(f"every row of {path.name} must have {len(columns)} cells, row {line} has not; labels are separated by '{SEPARATOR}'.")
        if not row["image"].strip():
            raise DataError(f"every row of {path.name} must name an image, row {line} does not.")
    rows = [{column: cell.strip() for column, cell in row.items()} for row in rows]
    twice = [name for name, n in Counter(row["image"] for row in rows).items() if n > 1]
    if twice:
        raise DataError(f"an image must stand once in {path.name}, with all its labels, {_named(twice)} more often.")
    return rows


def _labels(cell: str, *, line: int, name: str) -> list[str]:
    labels = [label.strip() for label in cell.split(SEPARATOR)] if cell else []
    if "" in labels or len(set(labels)) < len(labels):
        raise DataError(f"labels must be different and not empty, got {cell!r} in row {line} of {name}.")
    return labels


def _split(word: str, *, line: int, name: str) -> str | None:
    if word and word.lower() not in SPLIT_WORDS:
        raise DataError(f"a split must be one of {', '.join(SPLITS)}, got {word!r} in row {line} of {name}.")
    return SPLIT_WORDS[word.lower()] if word else None


def _named(names: Sequence[str]) -> str:
    return f"{some([repr(name) for name in names], most=_N_NAMED)} {'does' if len(names) == 1 else 'do'}"
