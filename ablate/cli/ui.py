"""`ablate ui`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.options import Json
from ablate.cli.output import console_for, print_document
from ablate.exits import user_errors
from ablate.leaving import leave_at_once

if TYPE_CHECKING:
    from ablate.workflow.after.mlflow_ui import Links


def ui(
    grid: Annotated[
        str,
        typer.Argument(
            metavar="GRID", help="a grid whose trials the printed links show  [default: none]"
        ),
    ] = "",
    port: Annotated[int, typer.Option(min=1, max=65535, help="on 127.0.0.1")] = 5000,
    as_json: Json = False,
) -> None:
    """Start the MLflow UI on 127.0.0.1, and print links to the grid's trials."""
    with user_errors(is_json=as_json):
        from ablate.console.screen import REPORTING, importing
        from ablate.workflow.folders import find_folders
        from ablate.workflow.grid_names import grid_name

        name = ""
        if grid:
            name = grid_name(grid)
        console = console_for(is_json=as_json)
        # MLflow alone: nothing is drawn here.
        importing(console, REPORTING[:1])
        from ablate.workflow.after.mlflow_ui import serve_ui

        # Called once the port is open: a link that is printed earlier leads nowhere.
        def on_links(links: Links) -> None:
            if links.grid:
                console.print(f"trials of {links.grid}, the best by val first: {links.trials}")
                console.print(f"compare its trials: {links.compare}")
            console.print(f"MLflow UI: {links.ui}   (stop it with Ctrl-C)")
            if as_json:
                print_document(links)

        # A server is stopped by an interrupt: that is its end, not a study that goes on.
        leave_at_once("MLflow UI stopped")
        serve_ui(find_folders(), grid_name=name, port=port, on_links=on_links)
