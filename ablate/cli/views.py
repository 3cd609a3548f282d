"""`ablate views`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.options import DataDir, GridName, Json, NoFallback, Settings
from ablate.cli.output import console_for, print_document
from ablate.exits import user_errors


def views(
    grid: GridName,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="one more policy, e.g. strong, 0.4 or 'light flip=none'; can be given again"
        ),
    ] = None,
    images: Annotated[
        int, typer.Option(min=1, max=50, help="train images, spread over the classes")
    ] = 6,
    epochs: Annotated[
        int, typer.Option(min=1, max=10, help="views of each image under each policy")
    ] = 2,
    backbone: Annotated[
        str | None, typer.Option(help="whose image size  [default: the grid's first by name]")
    ] = None,
    arm: Annotated[
        str | None,
        typer.Option(help="whose image size and view  [default: the backbone's first]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="PNG file  [default: $ABLATE_HOME/views/GRID.png]")
    ] = None,
    data_dir: DataDir = None,
    settings: Settings = None,
    no_fallback: NoFallback = False,
    as_json: Json = False,
) -> None:
    """Draw train images as each augmentation policy of a grid shows them to a network.

    Trains nothing.
    """
    with user_errors(is_json=as_json) as begin:
        from ablate.console.screen import TRAINING, importing
        from ablate.workflow.folders import find_folders
        from ablate.workflow.requests import request

        # What is cheap comes first: a mistake in the grid file is reported at once.
        console = console_for(is_json=as_json)
        asked = request(grid, settings=settings or ())
        folders = find_folders(data_dir=data_dir or asked.data_dir)
        # PyTorch and timm alone: nothing is published or proposed.
        importing(console, TRAINING[:2])
        from ablate.console.run_watcher import RunWatcher
        from ablate.workflow.plan.augmented_views import SheetRequest, read_policy
        from ablate.workflow.plan.draw_views import draw_views
        from ablate.workflow.prepare.all_mistakes import all_mistakes

        begin()
        policies = tuple(map(read_policy, policy or ()))
        with all_mistakes(asked):
            drawn = draw_views(
                asked.grid,
                folders,
                SheetRequest(policies, images, epochs, backbone, arm),
                RunWatcher(console),
                out=out,
                allow_fallback=not no_fallback,
            )
        console.print(f"views: {drawn.path} ({drawn.description})")
        if as_json:
            print_document({"grid": asked.grid.name, "views": drawn})
