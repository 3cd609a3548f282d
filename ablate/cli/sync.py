"""`ablate sync`."""

from __future__ import annotations

import typer

from ablate.cli.options import GridName, Json
from ablate.cli.output import console_for, print_document
from ablate.exits import FAILED, user_errors


def sync(grid: GridName, as_json: Json = False) -> None:
    """Publish to MLflow whatever it missed while unreachable. Never trains; safe to repeat."""
    with user_errors(is_json=as_json) as begin:
        from ablate.workflow.after.studies import sync_grid
        from ablate.workflow.folders import find_folders
        from ablate.workflow.grid_names import grid_name

        console = console_for(is_json=as_json)
        begin()
        missing = sync_grid(find_folders(), grid_name=grid_name(grid))
        for study, unpublished in missing.items():
            if unpublished.why:
                state = f"{unpublished.n_attempts} attempts are missing ({unpublished.why})"
            else:
                state = "all is published"
            console.print(f"{study}: {state}")
        if as_json:
            print_document(missing)
    # An exit code of its own: a scheduled job sees that it must ask again.
    if any(unpublished.why for unpublished in missing.values()):
        raise typer.Exit(FAILED)
