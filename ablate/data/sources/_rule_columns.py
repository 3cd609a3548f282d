"""The columns of a CSV that tell an image's group or time: a grid file names them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from ablate.data.sources._table import Table
from ablate.errors import DataError
from ablate.study.image_rule import Column
from ablate.study.trial import DataSpec


def rule_columns(spec: DataSpec) -> dict[str, str]:
    """Return column -> the field of `data` that names it."""
    columns: dict[str, str] = {}
    for field, rule in (("group_by", spec.group_by), ("split_by", spec.split_by)):
        if isinstance(rule, Column):
            # both rules may name one column: an error then names the first field
            columns.setdefault(rule.column, field)
    return columns


def check_columns(columns: Mapping[str, str], table: Table) -> None:
    """Check that a table has the columns that rules name. Raises DataError with the nearest."""
    for column, field in columns.items():
        if column not in table.columns:
            near = difflib.get_close_matches(column, table.columns, n=1, cutoff=0.0)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise DataError(
                f"data.{field} must name a column of {table.name} "
                f"({', '.join(table.columns) or 'none'}), got {column!r}{hint}"
            )
