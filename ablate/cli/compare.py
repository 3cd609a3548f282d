"""`ablate compare`."""

from __future__ import annotations

from typing import Annotated

import typer

from ablate.cli.options import Json
from ablate.cli.output import print_document
from ablate.exits import user_errors


def compare(
    first: Annotated[
        str, typer.Argument(metavar="GRID_A", help="a grid that was run, or GRID@STUDY")
    ],
    second: Annotated[str, typer.Argument(metavar="GRID_B", help="another one")],
    as_json: Json = False,
) -> None:
    """Compare two studies on the arms that both trained; prints Markdown."""
    with user_errors(is_json=as_json):
        from ablate.reporting.text.two_studies_text import comparison_text
        from ablate.workflow.after.reviews import compare_grids
        from ablate.workflow.folders import find_folders

        comparison = compare_grids(find_folders(), first, second)
        if as_json:
            print_document({"first": first, "second": second, "comparison": comparison})
        else:
            # As it is, for a file or a pull request: rich would wrap the tables.
            typer.echo(comparison_text(comparison, first=first, second=second))
