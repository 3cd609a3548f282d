"""`ablate lr-find`."""

from __future__ import annotations

from typing import Annotated

import typer

from ablate.cli.options import DataDir, GridName, Json, NoFallback, Settings
from ablate.cli.output import console_for, print_document
from ablate.exits import user_errors


def lr_find(
    grid: GridName,
    arm: Annotated[
        str | None, typer.Option(help="an arm as `ablate plan` names it  [default: the baseline]")
    ] = None,
    lowest: Annotated[float, typer.Option(help="head LR of the first step")] = 1e-6,
    highest: Annotated[float, typer.Option(help="head LR of the last step")] = 1.0,
    steps: Annotated[int, typer.Option(min=10, help="optimizer steps")] = 100,
    data_dir: DataDir = None,
    settings: Settings = None,
    no_fallback: NoFallback = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads  [default: as ablate run]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train an arm for a moment while the LR grows, and suggest a head_lr.

    The study and its runs stay as they are.
    """
    with user_errors(is_json=as_json) as begin:
        from ablate.console.screen import TRAINING, importing
        from ablate.workflow.folders import find_folders
        from ablate.workflow.requests import request

        console = console_for(is_json=as_json)
        # What is cheap comes first: a mistake in the grid file is reported at once.
        asked = request(grid, settings=settings or ())
        folders = find_folders(data_dir=data_dir or asked.data_dir)
        # PyTorch and timm alone: nothing is published or proposed.
        importing(console, TRAINING[:2])
        from ablate.console.run_watcher import RunWatcher
        from ablate.console.tables import rows_table
        from ablate.workflow.plan.lr_range_test import RangeTest, find_lr_of_grid, range_rows
        from ablate.workflow.prepare.all_mistakes import all_mistakes

        test = RangeTest(
            arm=arm,
            lowest=lowest,
            highest=highest,
            n_steps=steps,
            threads=threads,
            allow_fallback=not no_fallback,
        )
        # Before the data are read: a wrong bound is reported at once.
        test.check()
        begin()
        with all_mistakes(asked):
            tested, found = find_lr_of_grid(asked.grid, folders, test, RunWatcher(console))
        title = f"{tested.name}: loss while the LR grows"
        console.print(rows_table(range_rows(found), title=title))
        console.print(
            f"suggestion: head_lr {found.suggestion:.1e} (the loss falls fastest there; "
            f"it is least at {found.largest:.1e}, stay below)"
        )
        if as_json:
            print_document({"grid": asked.grid.name, "arm": tested.name, "range": found})
