"""`ablate run`."""

from __future__ import annotations

from typing import Annotated

import typer

from ablate.cli.options import (
    DataDir,
    GridName,
    Json,
    NoFallback,
    NoImages,
    ReportDir,
    Seeds,
    Settings,
)
from ablate.cli.output import console_for, print_document
from ablate.exits import FAILED, user_errors


def run(
    grid: GridName,
    data_dir: DataDir = None,
    settings: Settings = None,
    seeds: Seeds = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="trials at a time  [default: one per GPU, else one per core]"),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="CPU threads per trial; the last digits of scores depend on it  [default: 1]",
        ),
    ] = None,
    cache_gb: Annotated[
        float,
        typer.Option(
            help="bound on stored activations of frozen prefixes, in GB; "
            "0 shares nothing between trials"
        ),
    ] = 20.0,
    report_dir: ReportDir = None,
    no_fallback: NoFallback = False,
    no_images: NoImages = False,
    budget: Annotated[
        str | None,
        typer.Option(
            help="start no trial that would end later than this, e.g. 30m or 1h30m; "
            "the same command goes on"
        ),
    ] = None,
    max_trials: Annotated[
        int | None, typer.Option(min=1, help="start at most this many trials")
    ] = None,
    only_failed: Annotated[
        bool, typer.Option("--only-failed", help="run only trials that failed last time")
    ] = False,
    retry: Annotated[
        int, typer.Option(min=0, help="more attempts for a trial whose worker died or hung")
    ] = 2,
    trial_timeout: Annotated[
        str | None,
        typer.Option(help="a trial that takes longer has hung, e.g. 2h  [default: no limit]"),
    ] = None,
    executor: Annotated[
        str,
        typer.Option(
            help="local (worker processes on this machine), inline (in this process, where a "
            "debugger reaches a trial) or ray (a cluster; needs the extra ray)"
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="of the Ray cluster, HOST:PORT or auto  [default: $RAY_ADDRESS]"),
    ] = None,
    trials_per_gpu: Annotated[
        str,
        typer.Option(
            help="trials per GPU; auto = as many as fit in memory (measured). "
            "On CPU, auto caps the number of workers"
        ),
    ] = "1",
    optuna_storage: Annotated[
        str | None,
        typer.Option(
            help="URL of Optuna's storage  [default: $ABLATE_OPTUNA, else a file beside the study]"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train what is missing of a grid's trials, log each in MLflow, write the report."""
    with user_errors(is_json=as_json) as begin:
        # Imported inside, here and in every command: `ablate --help` must answer in half a second.
        from ablate.console.screen import CONDUCTING, importing
        from ablate.grid.seeds import read_seeds
        from ablate.workflow.folders import find_folders
        from ablate.workflow.requests import request
        from ablate.workflow.run.workers_ahead import workers_ahead

        # What is cheap comes first: a mistake in the grid file is reported at once.
        console = console_for(is_json=as_json)
        asked = request(grid, settings=settings or ())
        folders = find_folders(data_dir=data_dir or asked.data_dir, optuna_url=optuna_storage)
        chosen_seeds = None
        if seeds is not None:
            chosen_seeds = read_seeds(seeds)
        # The question first, so that a log says what it is about.
        console.print(asked.title)
        with workers_ahead(executor, threads) as fork_server:
            # MLflow and Optuna: seconds, in which a line says what is waited for.
            importing(console, CONDUCTING)
            from ablate.console.after_run import show_outcome
            from ablate.console.run_watcher import RunWatcher
            from ablate.workflow.prepare.machines import parse_kind
            from ablate.workflow.run.run_grid import run_grid
            from ablate.workflow.run.run_options import RunOptions

            kind = parse_kind(executor, address=address, workers=workers)
            options = RunOptions(
                seeds=chosen_seeds,
                report_dir=report_dir,
                has_images=not no_images,
                allow_fallback=not no_fallback,
                executor=kind,
                address=address,
                workers=workers,
                threads=threads,
                trials_per_gpu=trials_per_gpu,
                cache_gb=cache_gb,
                max_trials=max_trials,
                budget_s=_seconds(budget, option="--budget"),
                trial_timeout_s=_seconds(trial_timeout, option="--trial-timeout"),
                retries=retry,
                only_failed=only_failed,
            )
            # Numbers that no machine can keep, before the data are touched.
            options.check()
            # From here on there is something to put away when the user interrupts.
            begin()
            watcher = RunWatcher(console)
            outcome = run_grid(asked, options, folders, watcher, fork_server=fork_server)
        show_outcome(console, outcome)
        if as_json:
            from ablate.cli.documents import run_document

            print_document(run_document(outcome))
    # Outside the block, which turns exceptions into exit codes: this is no mistake of the request.
    if not outcome.is_complete:
        raise typer.Exit(FAILED)


def _seconds(text: str | None, *, option: str) -> float | None:
    from ablate.workflow.prepare.option_checks import read_seconds

    if text is None:
        return None
    return read_seconds(text, option=option)
