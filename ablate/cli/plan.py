"""`ablate plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from ablate.cli.options import DataDir, GridName, Json, NoFallback, Seeds, Settings
from ablate.cli.output import console_for, print_document
from ablate.exits import user_errors


def plan(
    grid: GridName,
    data_dir: DataDir = None,
    settings: Settings = None,
    seeds: Seeds = None,
    no_fallback: NoFallback = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="measure a few steps of each kind of arm here, and estimate the study's cost",
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="workers that the estimate is for  [default: as ablate run]"),
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="print every row of long tables")] = False,
    as_json: Json = False,
) -> None:
    """Show the arms of a grid, and which cells are merged or left out and why. Trains nothing."""
    with user_errors(is_json=as_json) as begin:
        from ablate.grid.seeds import read_seeds
        from ablate.workflow.folders import find_folders
        from ablate.workflow.requests import request

        # What is cheap comes first: a mistake in the grid file is reported at once.
        console = console_for(is_json=as_json)
        asked = request(grid, settings=settings or ())
        folders = find_folders(data_dir=data_dir or asked.data_dir)
        chosen_seeds = None
        if seeds is not None:
            chosen_seeds = read_seeds(seeds)
        console.print(asked.title)
        from ablate.cli.documents import plan_document
        from ablate.console.before_run import N_SHOWN, show_data, show_estimate, show_plan
        from ablate.console.prospects import show_prospects
        from ablate.workflow.plan.plan_grid import plan_grid
        from ablate.workflow.prepare.all_mistakes import all_mistakes
        from ablate.workflow.prepare.option_checks import check_workers

        # Before the data are looked for, which can take a while.
        check_workers(workers)
        begin()
        with all_mistakes(asked):
            made = plan_grid(
                asked.grid, folders, seeds=chosen_seeds, allow_fallback=not no_fallback
            )
        show_data(console, made.resolved)
        n_shown: int | None = N_SHOWN
        if show_all:
            n_shown = None
        show_plan(console, made, n_shown=n_shown)
        estimate = None
        # A search has no arms before it has run, so there is nothing to measure yet.
        if probe and made.resolved.expansion.arms:
            estimate = made.estimate(workers=workers)
            show_estimate(console, estimate)
        show_prospects(console, made.prospects(estimate), n_shown=n_shown)
        if as_json:
            print_document(plan_document(made, estimate))
