"""`ablate status`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.options import GridName, Json
from ablate.cli.output import console_for, print_document
from ablate.exits import user_errors

if TYPE_CHECKING:
    from rich.console import Group

    from ablate.workflow.after.studies import Standing

# Seconds. A journal of thousands of trials is skimmed in a fraction of that.
LOOK_EVERY_S = 2.0


def status(
    grid: GridName,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="refresh every two seconds, until the study is not running"),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the trials of a grid by state, what each worker does, and what failed and why.

    Also whether the report in reports/GRID has all of them. Can be asked at any time.
    """
    with user_errors(is_json=as_json):
        from ablate.errors import SpecError
        from ablate.workflow.after.studies import grid_status
        from ablate.workflow.folders import find_folders
        from ablate.workflow.grid_names import grid_name

        # Before anything is read: the two cannot go together whatever the grid.
        if watch and as_json:
            raise SpecError("--watch must not come with --json, which is one document")
        name = grid_name(grid)
        standings = grid_status(find_folders(), grid_name=name)
        if as_json:
            from ablate.cli.documents import status_document

            print_document(list(map(status_document, standings)))
        elif watch:
            _watch(standings, name)
        else:
            console_for(is_json=False).print(_picture(standings))


def _watch(standings: Sequence[Standing], name: str) -> None:
    """Show the studies until none of them is running."""
    from rich.live import Live

    from ablate.workflow.after.studies import grid_status
    from ablate.workflow.folders import find_folders

    console = console_for(is_json=False)
    # Without auto_refresh: nothing moves between two readings of the journal.
    with Live(_picture(standings), console=console, auto_refresh=False) as live:
        while any(standing.trials.conductor for standing in standings):
            time.sleep(LOOK_EVERY_S)
            standings = grid_status(find_folders(), grid_name=name)
            live.update(_picture(standings), refresh=True)


def _picture(standings: Sequence[Standing]) -> Group:
    """Tables of all studies, then what else there is to say of them."""
    from rich.console import Group
    from rich.text import Text

    from ablate.console.status_text import status_notes, status_tables
    from ablate.console.tables import rows_table

    tables = []
    notes = []
    for standing in standings:
        for rows, title in status_tables(standing.trials):
            tables.append(rows_table(rows, title=title))
        # Text, not str: rich would read the brackets of a name as markup.
        for note in status_notes(standing):
            notes.append(Text(note))
    return Group(*tables, *notes)
