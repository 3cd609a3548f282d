"""`ablate init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.options import GpuGb, HasHub, Json, Minutes
from ablate.cli.output import console_for, print_document
from ablate.exits import user_errors


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="a folder of images, in whatever layout")
    ],
    gpu_gb: GpuGb = None,
    minutes: Minutes = None,
    has_hub: HasHub = False,
    out: Annotated[
        Path | None,
        typer.Option(help="the grid file  [default: a .yaml beside FOLDER, of its name]"),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="write over a grid file that is there already")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look at a folder of images and write a first grid file, with the reason of each value."""
    with user_errors(is_json=as_json) as begin:
        console = console_for(is_json=as_json)
        # At once: a folder of many thousand images takes seconds.
        console.print(f"looking at {folder} ...")
        from ablate.console.init_screen import show_written
        from ablate.workflow.advice.this_machine import this_machine
        from ablate.workflow.init.write_grid import write_grid

        begin()
        written = write_grid(
            folder,
            this_machine(gpu_gb=gpu_gb, minutes=minutes, has_hub=has_hub),
            console.print,
            out=out,
            may_replace=force,
        )
        show_written(console, written)
        if as_json:
            print_document(written)
