"""What the columns of a table are called: as usual, or as `data.columns` says."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from ablate.data.sources._kinds import NAMED_IMAGES
from ablate.data.sources._table import Table
from ablate.errors import DataError, escaped
from ablate.study.trial import DataSpec

_LABEL_WORDS = ("label", "labels", "class", "class_name", "category", "species", "target", "y")
"""How others call the column of labels."""


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The column of each role."""

    image: str
    label: str
    split: str
    class_name: str = ""
    """Empty where a table has no such role."""
    given: frozenset[str] = frozenset()
    """Those that the grid file names, which must be there."""

    @property
    def read(self) -> tuple[str, ...]:
        """All of them, the ones that must be there first."""
        return tuple(filter(None, (self.image, self.label, self.class_name, self.split)))

    def check(self, table: Table) -> None:
        """Check that the columns that the grid file names are there. Raises DataError."""
        self.check_among(table.columns, where=table.name)

    def check_among(self, columns: Sequence[str], *, where: str) -> None:
        """As `check`, for the columns of whatever `where` is."""
        for name in self.read:
            if name in self.given and name not in columns:
                shown = ", ".join(map(escaped, columns)) or "none"
                near = difflib.get_close_matches(name, columns, n=1, cutoff=0.0)
                hint = f"; did you mean {escaped(near[0])}?" if near else "."
                raise DataError(
                    f"data.columns must name columns of {where} ({shown}), got {name!r}{hint}"
                )


def names_for(spec: DataSpec, usual: ColumnNames) -> ColumnNames:
    """Return the usual names with those of `data.columns` in their place.

    Raises DataError where it names a role that such a table does not have.
    """
    if spec.columns is None:
        return usual
    given = spec.columns.model_dump()
    if "class_name" in given and not usual.class_name:
        raise DataError(
            f"data.columns.class_name must be left out here, got {given['class_name']!r}: the "
            "column of labels holds the names of the classes."
        )
    return replace(usual, **given, given=frozenset(given.values()))


def suggested(table: Table, names: ColumnNames) -> str:
    """How `data.columns` would name what a table has, to end an error; empty without rows."""
    if not table.rows:
        return ""
    image = _column_of_images(table)
    label = next((word for word in _LABEL_WORDS if word in table.columns), None)
    example = f"{{image: {image or names.image}, label: {label or '...'}}}"
    return f"; data.columns says what they are called, e.g. {example}"


def _column_of_images(table: Table) -> str | None:
    """The first column whose first cell is called as an image."""
    for column, cell in table.rows[0].cells.items():
        if PurePosixPath(cell).suffix.lower() in NAMED_IMAGES:
            return column
    return None
