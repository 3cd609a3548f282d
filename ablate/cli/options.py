"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# typer would show a default of None as nothing: `[default: ...]` in the help says what it means.
GridName = Annotated[
    str, typer.Argument(metavar="GRID", help="a name in experiments/, or the path of a grid file")
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="folder of the data sets  [default: $ABLATE_DATA or .ablate/data]"),
]
Seeds = Annotated[str | None, typer.Option(help="seeds instead of the grid file's, e.g. 0,1,2")]
ReportDir = Annotated[
    Path | None, typer.Option(help="where the report goes  [default: reports/GRID]")
]
NoImages = Annotated[
    bool,
    typer.Option(
        "--no-images",
        help="no example images in the report or in MLflow, for images that must not be shown",
    ),
]
NoFallback = Annotated[
    bool,
    typer.Option("--no-fallback", help="fail instead of using the grid's fallback data set"),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="print one JSON document on standard output, and progress on standard error"
    ),
]
