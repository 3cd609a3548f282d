"""`ablate table`."""

from __future__ import annotations

from typing import Annotated

import typer

from ablate.cli.options import GridName, Json
from ablate.cli.output import print_document
from ablate.exits import user_errors


def table(
    grid: GridName,
    latex: Annotated[bool, typer.Option("--latex", help="LaTeX, with booktabs")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown  [default]")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV, numbers in full")] = False,
    study: Annotated[str | None, typer.Option(help="id of a study  [default: the newest]")] = None,
    as_json: Json = False,
) -> None:
    """Print the arms of a study as the table of a paper: mean ± SD, the best bold, verdicts."""
    with user_errors(is_json=as_json):
        from ablate.errors import SpecError
        from ablate.workflow.after.paper import FORMS, study_table
        from ablate.workflow.folders import find_folders
        from ablate.workflow.grid_names import grid_name

        asked = {"latex": latex, "markdown": markdown, "csv": csv}
        # In the order of the options, so that the message names them as `--help` does.
        forms = [name for name, is_asked in asked.items() if is_asked]
        if len(forms) > 1:
            named = " and ".join(f"--{name}" for name in forms)
            raise SpecError(f"a table must have one form, got {named}; leave all but one out")
        paper = study_table(find_folders(), grid_name=grid_name(grid), study_id=study)
        if as_json:
            print_document({"grid": grid_name(grid), "table": paper})
        else:
            form = "markdown"
            if forms:
                form = forms[0]
            # typer.echo, not the console: a table goes into a file, and no line may be wrapped.
            typer.echo(FORMS[form](paper), nl=False)
