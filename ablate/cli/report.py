"""`ablate report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.options import GridName, Json, NoImages, ReportDir
from ablate.cli.output import console_for, print_document
from ablate.exits import user_errors


def report(
    grid: GridName,
    study: Annotated[str | None, typer.Option(help="id of a study  [default: the newest]")] = None,
    report_dir: ReportDir = None,
    no_images: NoImages = False,
    as_json: Json = False,
) -> None:
    """Write the report again from the runs in MLflow; needs no torch."""
    with user_errors(is_json=as_json) as begin:
        from ablate.console.screen import REPORTING, importing
        from ablate.workflow.folders import find_folders
        from ablate.workflow.grid_names import grid_name

        name = grid_name(grid)
        console = console_for(is_json=as_json)
        # The name has been checked by now: a slip must not wait for seaborn.
        importing(console, REPORTING)
        from ablate.workflow.after.reports import report_study

        begin()
        published, paths = report_study(
            find_folders(),
            grid_name=name,
            study_id=study,
            # The folder of `ablate run`, so that a report is replaced and not doubled.
            report_dir=report_dir or Path("reports") / name,
            has_images=not no_images,
        )
        console.print(f"report: {paths.readme}")
        if as_json:
            from ablate.cli.documents import report_document

            print_document(report_document(published, paths))
