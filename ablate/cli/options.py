"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def grids_and_folders(incomplete: str) -> list[str]:
    """What a shell offers where a grid or a folder of images may stand."""
    return _grids_and_files(incomplete)


def _grids_and_files(incomplete: str) -> list[str]:
    """What a shell offers for GRID: names of grids, and grid files and folders on the way there."""
    from ablate.workflow.grid_names import SUFFIXES, known_grids

    offered = [name for name in known_grids() if name.startswith(incomplete)]
    typed = Path(incomplete)
    folder = typed if incomplete.endswith("/") else typed.parent
    for path in sorted(folder.glob("*")):
        is_on_the_way = path.is_dir() or path.suffix in SUFFIXES
        shown = f"{path}/" if path.is_dir() else str(path)
        if is_on_the_way and shown.startswith(incomplete):
            offered.append(shown)
    return offered


# typer would show a default of None as nothing: `[default: ...]` in the help says what it means.
GridName = Annotated[
    str,
    typer.Argument(
        metavar="GRID",
        help="a name in experiments/, or the path of a grid file",
        autocompletion=_grids_and_files,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="folder of the data sets  [default: $ABLATE_DATA or .ablate/data]"),
]
Seeds = Annotated[str | None, typer.Option(help="seeds instead of the grid file's, e.g. 0,1,2")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="a field of the grid file with another value, e.g. base.epochs=3 or "
        "'axes.augment=[none, strong]'; can be given again",
    ),
]
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
GpuGb = Annotated[
    float | None,
    typer.Option(min=0.5, help="memory of the GPU that will train, in GB  [default: this one's]"),
]
Minutes = Annotated[
    float | None,
    typer.Option(min=0.1, help="how long the first study may take  [default: 30]"),
]
HasHub = Annotated[
    bool,
    typer.Option("--hub", help="weights of timm's hub are within reach, not only installed ones"),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="print one JSON document on standard output, and progress on standard error"
    ),
]
