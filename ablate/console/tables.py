"""Rows as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

Rows = Sequence[Mapping[str, object]]


def rows_table(rows: Rows, *, title: str) -> Table:
    """Rows with the same columns as a table; the first column is left-aligned."""
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    # A table without rows has a title alone.
    columns: Sequence[str] = list(rows[0]) if rows else ()
    for index, column in enumerate(columns):
        # Text, not str: rich would read the brackets of a name as markup.
        heading = Text(str(column))
        # Names to the left, numbers to the right.
        justify: JustifyMethod = "left" if index == 0 else "right"
        # fold: rich's default would end a long name in an ellipsis, and it could not be copied.
        table.add_column(heading, justify=justify, overflow="fold")
    for row in rows:
        cells = [Text(str(cell)) for cell in row.values()]
        table.add_row(*cells)
    return table


def frame_table(frame: pd.DataFrame, *, title: str) -> Table:
    """A DataFrame of text as such a table."""
    return rows_table(frame.to_dict("records"), title=title)  # type: ignore[arg-type]


def show_rows(console: Console, rows: Rows, *, title: str, n_shown: int | None) -> None:
    """Print a table; of a long one the first rows, and how many more there are."""
    console.print(rows_table(rows[:n_shown], title=title))
    show_more(console, len(rows), n_shown)


def show_lines(console: Console, lines: Sequence[str], *, n_shown: int | None) -> None:
    """Print lines; of many the first ones, and how many more there are."""
    for line in lines[:n_shown]:
        console.print(line)
    show_more(console, len(lines), n_shown)


def show_more(console: Console, n_all: int, n_shown: int | None) -> None:
    """Print how many rows were left out of `n_all`; nothing where all were shown."""
    if n_shown is not None and n_all > n_shown:
        console.print(f"... and {n_all - n_shown:,} more; --all prints them")
