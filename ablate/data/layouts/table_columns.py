"""Which columns of a stranger's table name the file, the label and the split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.data.layouts._boxes import ImageIndex
from ablate.data.layouts.rows import Rows
from ablate.data.layouts.tree import split_of_folder

_FILE_WORDS = ("file", "image", "filename", "path", "img", "photo", "picture", "id")
# Names before the numbers that stand for them: some tables have both.
_LABEL_WORDS = (
    "classname",
    "labelname",
    "label",
    "labels",
    "class",
    "category",
    "target",
    "diagnosis",
    "dx",
    "species",
    "breed",
    "disease",
    "defect",
    "grade",
    "type",
    "y",
)
_SPLIT_WORDS = ("split", "set", "subset", "partition", "usage", "phase")
_MOST_CLASSES = 1000
_MOST_PEEKED = 2000
_SEPARATORS = re.compile(r"\s*[;|,]\s*")
_MEASUREMENT = re.compile(r"-?\d+\.\d*[1-9]\d*")
"""A number with a fraction. `1.0` is none: pandas writes labels so that once lacked a cell."""
_FEWEST_FOUND = 0.5


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table that say what its images show."""

    file: str
    label: tuple[str, ...]
    """One column; or, of a table with a column for each class, all of those."""
    split: str | None
    has_lists: bool = False
    """Whether cells of the label column are lists, as `cat;dog`."""

    @property
    def used(self) -> frozenset[str]:
        """Every column of these."""
        return frozenset({self.file, *self.label, self.split or self.file})


def find_columns(rows: Rows, index: ImageIndex) -> Columns | None:
    """Return the columns of a table; None where none names images or none names labels."""
    file = _file_column(rows, index)
    if file is None:
        return None
    split = _split_column(rows, but=file)
    others = [name for name in rows.columns if name and name not in (file, split)]
    marks = _columns_of_marks(rows, others)
    named = _label_column(rows, others)
    # A column called `label` goes before a column for each class, and that before a guess.
    if named is not None and (not marks or _is_called(named, _LABEL_WORDS)):
        return Columns(file, (named,), split, _holds_lists(rows.column(named)))
    if marks:
        return Columns(file, tuple(marks), split)
    return None


def _letters(column: str) -> str:
    return re.sub(r"[\W_]+", "", column.casefold())


def _is_called(column: str, words: Sequence[str]) -> bool:
    """Whether a column is one of some words, or begins or ends with one: `image_id`, `dx_type`."""
    letters = _letters(column)
    parts = re.split(r"[\W_]+", column.casefold())
    return letters in words or parts[0] in words or parts[-1] in words


def _file_column(rows: Rows, index: ImageIndex) -> str | None:
    """The column of which most cells name an image; of several the one that is called so."""
    best: tuple[float, bool, str] | None = None
    for column in rows.columns:
        cells = list(filter(None, rows.column(column)[:_MOST_PEEKED]))
        if not cells:
            continue
        n_found = 0
        for cell in cells:
            n_found += index.find(cell, near=rows.folder) is not None
        rank = (n_found / len(cells), _is_called(column, _FILE_WORDS), column)
        if best is None or rank[:2] > best[:2]:
            best = rank
    if best is None or best[0] < _FEWEST_FOUND:
        return None
    return best[2]


def _split_column(rows: Rows, *, but: str) -> str | None:
    for column in rows.columns:
        if column == but:
            continue
        words = set(filter(None, rows.column(column)))
        splits = set(map(split_of_folder, words))
        is_called = _is_called(column, _SPLIT_WORDS)
        # A column that says `test` in each row is of splits only if it is called so.
        if words and None not in splits and (len(splits) > 1 or is_called):
            return column
    return None


def _columns_of_marks(rows: Rows, columns: Sequence[str]) -> list[str]:
    """Columns of 0 and 1 alone, as tables with a column for each class have them."""
    marks = []
    for column in columns:
        if set(rows.column(column)) <= {"0", "1", "0.0", "1.0"}:
            marks.append(column)
    # One column of 0 and 1 is a label by itself.
    if len(marks) < 2:
        return []
    return marks


def _label_column(rows: Rows, columns: Sequence[str]) -> str | None:
    """The column of labels: by its name, else the one with the fewest values that repeat."""
    for word in _LABEL_WORDS:
        for column in columns:
            if _letters(column) == word and _may_be_labels(rows.column(column)):
                return column
    for column in columns:
        if _is_called(column, _LABEL_WORDS) and _may_be_labels(rows.column(column)):
            return column
    guesses = [column for column in columns if _may_be_labels(rows.column(column))]
    return min(guesses, key=lambda column: len(set(rows.column(column))), default=None)


def _may_be_labels(cells: Sequence[str]) -> bool:
    """Whether a column has a few values that repeat; numbers with a fraction are measurements."""
    counts: Counter[str] = Counter()
    for cell in cells:
        counts.update(labels_in(cell))
    # A value for every row or two is a name or an id.
    if not 2 <= len(counts) <= min(_MOST_CLASSES, max(2, len(cells) // 2)):
        return False
    return not any(map(_MEASUREMENT.fullmatch, counts))


def _holds_lists(cells: Sequence[str]) -> bool:
    """Whether cells are lists whose parts are labels elsewhere too: `a;b` beside `a` and `b`."""
    parts: Counter[str] = Counter()
    n_lists = 0
    for cell in filter(None, cells):
        words = _SEPARATORS.split(cell)
        n_lists += len(words) > 1
        parts.update(filter(None, words))
    # Text with a comma is no list: the parts of lists come again in other rows.
    return n_lists > 0 and min(parts.values()) > 1 and len(parts) < len(set(cells))


def labels_in(cell: str) -> tuple[str, ...]:
    """The labels of a cell that is a list."""
    return tuple(sorted(set(filter(None, _SEPARATORS.split(cell)))))
