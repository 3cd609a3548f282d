"""`ablate verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.options import Json
from ablate.cli.output import console_for, print_document
from ablate.exits import FAILED, user_errors


def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="REPORT", help="the folder of a report, e.g. reports/flowers")
    ],
    as_json: Json = False,
) -> None:
    """Compute every number of a report again from the predictions stored in MLflow.

    Names each number that differs, and exits with 1 if any does.
    """
    with user_errors(is_json=as_json):
        from ablate.workflow.after.reviews import verify_folder
        from ablate.workflow.folders import find_folders

        console = console_for(is_json=as_json)
        findings = verify_folder(find_folders(), folder)
        # All of them: what differs in one place often explains the others.
        for finding in findings:
            console.print(str(finding))
        if findings:
            result = f"{len(findings)} places differ from the store"
        else:
            result = "every number is what the store gives"
        console.print(f"{folder}: {result}")
        if as_json:
            print_document({"folder": folder, "findings": findings})
    if findings:
        raise typer.Exit(FAILED)
