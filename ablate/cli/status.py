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

    from ablate.scheduling.study_status import StudyStatus

LOOK_EVERY_S = 2.0


def status(
    grid: GridName,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="look again every two seconds, until nobody runs the study"),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the trials of a grid by state, what each worker does, and what failed and why.

    Can be asked at any time.
    """
    with user_errors(is_json=as_json):
        from ablate.errors import SpecError
        from ablate.workflow.after.studies import grid_status
        from ablate.workflow.folders import find_folders
        from ablate.workflow.grid_names import grid_name

        if watch and as_json:
            raise SpecError("--watch must not come with --json, which is one document")
        name = grid_name(grid)
        found = grid_status(find_folders(), grid_name=name)
        if as_json:
            print_document(found)
        elif watch:
            _watch(found, name)
        else:
            console_for(is_json=False).print(_picture(found))


def _watch(found: Sequence[StudyStatus], name: str) -> None:
    """Show the studies until nobody runs them."""
    from rich.live import Live

    from ablate.workflow.after.studies import grid_status
    from ablate.workflow.folders import find_folders

    console = console_for(is_json=False)
    with Live(_picture(found), console=console, auto_refresh=False) as live:
        while any(study.conductor for study in found):
            time.sleep(LOOK_EVERY_S)
            found = grid_status(find_folders(), grid_name=name)
            live.update(_picture(found), refresh=True)


def _picture(found: Sequence[StudyStatus]) -> Group:
    """Tables of all studies, then what else there is to say of them."""
    from rich.console import Group
    from rich.text import Text

    from ablate.console.status_text import status_notes, status_tables
    from ablate.console.tables import rows_table

    tables, notes = [], []
    for study in found:
        tables += [rows_table(rows, title=title) for rows, title in status_tables(study)]
        notes += [Text(note) for note in status_notes(study)]
    return Group(*tables, *notes)
