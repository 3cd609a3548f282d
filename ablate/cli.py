"""The command line. The only place that prints or exits; each command is a few steps of `ablate.workflow`.

Exit codes: 0 all done; 1 some trials failed, or were trained and kept but could not be published in MLflow or reported; 2 the request was wrong and
nothing was started; 130 interrupted, the same command resumes.
"""

from __future__ import annotations

import atexit
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cache_commands import cache_app
from ablate.exits import FAILED, show_without_passwords, user_errors
from ablate.leaving import finish_undisturbed, leave_at_once
from ablate.terminal import be_patient

if TYPE_CHECKING:
    from ablate.grid.grid_file import Grid
    from ablate.workflow.folders import Places

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help texts hold brackets, which rich's markup would eat
    help="Which way of transferring a pretrained model works on your images?",
)

app.add_typer(cache_app, name="cache")

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
        help="no example images in the report, nor in MLflow: for photographs that are not yours to show",
    ),
]
NoFallback = Annotated[
    bool,
    typer.Option(
        "--no-fallback", help="refuse to stand in the grid's fallback for data that are not there"
    ),
]

TRAINING = (
    ("PyTorch", "torch"),
    ("timm", "timm"),
    ("MLflow", "ablate.tracking.mlflow_store"),
    ("Optuna", "optuna"),
)
REPORTING = (("MLflow", "ablate.tracking.mlflow_store"), ("seaborn", "seaborn"))
"""What takes seconds to import: name, module."""


@app.command()
def run(
    grid: GridName,
    data_dir: DataDir = None,
    seeds: Seeds = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="slots  [default: one a GPU, else one a core]")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="CPU threads of a slot; scores depend on it in their last digits  [default: measured once]",
        ),
    ] = None,
    cache_gb: Annotated[
        float,
        typer.Option(
            help="bound on kept activations of frozen prefixes, in GB; 0 shares nothing between trials"
        ),
    ] = 20.0,
    report_dir: ReportDir = None,
    no_fallback: NoFallback = False,
    no_images: NoImages = False,
    budget: Annotated[
        str | None,
        typer.Option(
            help="start no trial that would end later than this, e.g. 30m or 1h30m; the same command goes on"
        ),
    ] = None,
    max_trials: Annotated[
        int | None, typer.Option(min=1, help="start at most so many trials")
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
        str, typer.Option(help="local (this machine) or ray (a cluster; make install EXTRAS=ray)")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="of the Ray cluster, HOST:PORT or auto  [default: $RAY_ADDRESS]"),
    ] = None,
    trials_per_gpu: Annotated[
        str,
        typer.Option(
            help="trials that share a GPU, or auto: measured, so many as memory holds; on CPUs auto bounds slots"
        ),
    ] = "1",
    optuna_storage: Annotated[
        str | None,
        typer.Option(
            help="URL of Optuna's storage  [default: $ABLATE_OPTUNA, else a file beside the study]"
        ),
    ] = None,
) -> None:
    """Train what is missing of a grid's trials, log each in MLflow, write the report."""
    with user_errors() as begin:
        from ablate.console.progress import importing, make_console

        console = make_console()
        parsed, where = _read_grid(grid, data_dir=data_dir, optuna_storage=optuna_storage)
        chosen = _seeds(seeds)
        console.print(f"grid {parsed.name}: {parsed.question or 'no question in its first line'}")
        importing(console, TRAINING)
        from ablate.console.after_run import (
            ReportWish,
            adopt_aloud,
            report_aloud,
            run_pilot_aloud,
            say_shared_name,
        )
        from ablate.console.before_run import say_brightness, say_what
        from ablate.console.progress import StudyDisplay, step_progress, trial_names
        from ablate.reporting.pages.folder import claim_folder
        from ablate.scheduling.limits import Limits
        from ablate.workflow.after.reports import check_report_folder
        from ablate.workflow.after.studies import seconds_of
        from ablate.workflow.folders import check_optuna, find_grid, make_command
        from ablate.workflow.plan.probe import packed
        from ablate.workflow.prepare.machines import Machines, parse_kind
        from ablate.workflow.prepare.options import check_run
        from ablate.workflow.prepare.prepared import prepare, resolve
        from ablate.workflow.run.run_prepared import count_complete, run_prepared, study_clock
        from ablate.workflow.stores import open_store

        kind = parse_kind(executor, address=address)
        check_run(
            is_local=kind == "local",
            threads=threads,
            workers=workers,
            cache_gb=cache_gb,
            retries=retry,
            trials_per_gpu=trials_per_gpu,
        )
        budget_s = None if budget is None else seconds_of(budget, option="--budget")
        timeout_s = (
            None if trial_timeout is None else seconds_of(trial_timeout, option="--trial-timeout")
        )
        limits = Limits(
            retries=retry, max_trials=max_trials, budget_s=budget_s, only_failed=only_failed
        )
        out = report_dir or Path("reports") / parsed.name
        check_report_folder(where, out, parsed)
        begin()
        store = open_store(where, parsed.name)
        check_optuna(where)
        resolved = resolve(
            parsed,
            where,
            seeds=chosen,
            allow_fallback=not no_fallback,
            command=make_command(parsed.name, seeds=seeds),
        )
        say_what(console, resolved)
        with step_progress(console) as on_progress:
            prepared = prepare(
                resolved,
                where,
                report_dir=out,
                threads=threads,
                cache_gb=cache_gb,
                on_progress=on_progress,
            )
        say_brightness(console, prepared.resolved.record.data.brightest, looked_at="all images")
        claim_folder(out, grid_name=parsed.name, others={})
        say_shared_name(console, prepared.folder, find_grid(grid))
        machines = packed(
            Machines(kind, address, workers, timeout_s),
            trials_per_gpu,
            resolved,
            where,
            threads=prepared.compute.threads,
        )

        n_pilot_failed = 0
        has_unpublished = False
        if resolved.pilot is not None:
            end = run_pilot_aloud(
                console,
                prepared,
                store,
                machines=machines,
                limits=limits,
                optuna_url=where.optuna_url,
            )
            if end.prepared is None:
                raise typer.Exit(
                    FAILED
                    if end.summary.n_failed or end.summary.unpublished.why or not end.summary.n_left
                    else 0
                )
            prepared, limits, n_pilot_failed = end.prepared, end.limits, end.summary.n_failed
            resolved = prepared.resolved
            has_unpublished = bool(end.summary.unpublished.why)
        adopt_aloud(console, prepared, store)
        names = trial_names(resolved.trials, {arm.arm_id: arm.name for arm in resolved.record.arms})
        display = StudyDisplay(
            console,
            names,
            n_trials=len(resolved.trials),
            select_by=parsed.select_by,
            n_before=count_complete(prepared),
            clock=study_clock(prepared),
        )
        with display.shown():
            summary = run_prepared(
                prepared,
                store,
                machines=machines,
                on_event=display.on_event,
                limits=limits,
                optuna_url=where.optuna_url,
            )
        wish = ReportWish(grid, folder=out, has_images=not no_images, limits=limits)
        report_aloud(console, prepared, store, summary, wish=wish, where=where)
        has_unpublished = has_unpublished or bool(summary.unpublished.why)
    if summary.n_failed or n_pilot_failed or has_unpublished:
        raise typer.Exit(FAILED)


@app.command()
def plan(
    grid: GridName,
    data_dir: DataDir = None,
    seeds: Seeds = None,
    no_fallback: NoFallback = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="measure a few steps of each kind of arm here, and estimate what the study costs",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="slots that the estimate is for  [default: as run]")
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="print every row of long tables")] = False,
) -> None:
    """Show the arms of a grid, the cells that are merged or left out and why, and how many trials there are. Trains nothing, but for a probe."""
    with user_errors() as begin:
        from ablate.console.progress import make_console

        console = make_console()
        parsed, where = _read_grid(grid, data_dir=data_dir)
        chosen = _seeds(seeds)
        console.print(f"grid {parsed.name}: {parsed.question or 'no question in its first line'}")
        from ablate.console.before_run import N_SHOWN, say_estimate, say_plan, say_rows, say_what
        from ablate.console.pilot_lines import pilot_tables
        from ablate.workflow.folders import make_command
        from ablate.workflow.prepare.network_facts import Remembered
        from ablate.workflow.prepare.options import check_workers
        from ablate.workflow.prepare.prepared import check_same_weights, look_at_arms, resolve

        check_workers(workers)
        begin()
        resolved = resolve(
            parsed,
            where,
            seeds=chosen,
            allow_fallback=not no_fallback,
            command=make_command(parsed.name, seeds=seeds),
        )
        looks, n_shown = Remembered(where.home / "looks"), None if show_all else N_SHOWN
        facts, weights = look_at_arms(resolved, looks)
        check_same_weights(resolved, where, weights)
        say_what(console, resolved)
        for rows, title in [] if resolved.pilot is None else pilot_tables(resolved):
            say_rows(console, rows, title=title, n_shown=n_shown)
        say_plan(console, resolved, facts, looks=looks, n_shown=n_shown)
        if probe and resolved.expansion.arms:
            say_estimate(console, resolved, facts, workers=workers, where=where)


@app.command("lr-find")
def lr_find(
    grid: GridName,
    arm: Annotated[
        str | None, typer.Option(help="an arm as `ablate plan` names it  [default: the baseline]")
    ] = None,
    lowest: Annotated[float, typer.Option(help="head LR of the first step")] = 1e-6,
    highest: Annotated[float, typer.Option(help="head LR of the last step")] = 1.0,
    steps: Annotated[int, typer.Option(min=10, help="optimizer steps")] = 100,
    data_dir: DataDir = None,
    no_fallback: NoFallback = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads  [default: as run]")
    ] = None,
) -> None:
    """Train an arm for a moment while the LR grows, and suggest a head_lr. The study and its runs stay as they are."""
    with user_errors() as begin:
        from ablate.console.progress import frame_table, importing, make_console, step_progress

        console = make_console()
        parsed, where = _read_grid(grid, data_dir=data_dir)
        importing(console, TRAINING[:2])
        from ablate.console.before_run import say_what
        from ablate.workflow.plan.lr_find import find_arm, find_lr, range_table
        from ablate.workflow.prepare.options import check_rates, check_threads
        from ablate.workflow.prepare.prepared import prepare, resolve

        check_threads(threads)
        check_rates(lowest, highest, n_steps=steps)
        begin()
        resolved = resolve(parsed, where, seeds=None, allow_fallback=not no_fallback, command="")
        chosen = find_arm(
            resolved.record.arms, arm, baseline_arm_id=resolved.record.baseline_arm_id
        )
        say_what(console, resolved)
        with step_progress(console) as on_progress:
            prepared = prepare(
                resolved,
                where,
                report_dir=where.home,
                threads=threads,
                cache_gb=0,
                on_progress=on_progress,
            )
        found = find_lr(prepared, chosen, lowest=lowest, highest=highest, n_steps=steps)
        console.print(
            frame_table(range_table(found), title=f"{chosen.name}: loss while the LR grows")
        )
        console.print(
            f"suggestion: head_lr {found.suggestion:.1e} (the loss falls fastest there; it is least at {found.largest:.1e}, stay below)"
        )


@app.command()
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
    out: Annotated[
        Path | None, typer.Option(help="PNG file  [default: $ABLATE_HOME/views/GRID.png]")
    ] = None,
    data_dir: DataDir = None,
    no_fallback: NoFallback = False,
) -> None:
    """Draw train images as each augmentation policy of a grid shows them to a network. Trains nothing."""
    with user_errors() as begin:
        from ablate.console.progress import importing, make_console, step_progress

        console = make_console()
        parsed, where = _read_grid(grid, data_dir=data_dir)
        importing(console, TRAINING[:2])
        from ablate.console.before_run import say_what
        from ablate.workflow.plan.contact_sheet import write_sheet
        from ablate.workflow.plan.views import Wish, check_out, describe, read_policy, take_sheet
        from ablate.workflow.prepare.prepared import resolve

        begin()
        wish = Wish(tuple(map(read_policy, policy or ())), images, epochs, backbone)
        path = check_out(out or where.home / "views" / f"{parsed.name}.png")
        resolved = resolve(parsed, where, seeds=None, allow_fallback=not no_fallback, command="")
        say_what(console, resolved)
        with step_progress(console) as on_progress:
            sheet = take_sheet(resolved, wish, home=where.home, on_progress=on_progress)
        write_sheet(sheet, path)
        typer.echo(f"views: {path} ({describe(resolved, wish, sheet)})")


@app.command()
def report(
    grid: GridName,
    study: Annotated[str | None, typer.Option(help="id of a study  [default: the newest]")] = None,
    report_dir: ReportDir = None,
    no_images: NoImages = False,
) -> None:
    """Write the report again from the runs in MLflow; needs no torch."""
    with user_errors() as begin:
        from ablate.console.progress import importing, make_console
        from ablate.workflow.folders import grid_name, places

        name, console = grid_name(grid), make_console()
        importing(console, REPORTING)
        from ablate.workflow.after.reports import report_study

        begin()
        _, paths = report_study(
            places(),
            grid_name=name,
            study_id=study,
            report_dir=report_dir or Path("reports") / name,
            has_images=not no_images,
        )
        console.print(f"report: {paths.readme}")


@app.command()
def status(
    grid: GridName,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="look again every two seconds, until nobody runs the study"),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON list, for programs")] = False,
) -> None:
    """Show the trials of a grid by state, how fast they come, what each slot does, and what failed and why. Can be asked at any time."""
    with user_errors():
        import dataclasses
        import json
        import time

        from rich.console import Group
        from rich.live import Live
        from rich.text import Text

        from ablate.console.progress import frame_table, make_console
        from ablate.workflow.after.studies import grid_status, status_notes, status_tables
        from ablate.workflow.folders import grid_name, places

        name = grid_name(grid)

        def look() -> tuple[Group, bool]:
            found = grid_status(places(), grid_name=name)
            tables = [
                frame_table(frame, title=title)
                for one in found
                for frame, title in status_tables(one)
            ]
            notes = [Text(note) for one in found for note in status_notes(one)]
            return Group(*tables, *notes), any(one.conductor for one in found)

        if as_json:
            typer.echo(
                json.dumps(
                    [dataclasses.asdict(one) for one in grid_status(places(), grid_name=name)]
                )
            )
        elif watch:
            picture, is_conducted = look()
            with Live(picture, console=make_console(), auto_refresh=False) as live:
                while is_conducted:
                    time.sleep(2)
                    picture, is_conducted = look()
                    live.update(picture, refresh=True)
        else:
            make_console().print(look()[0])


@app.command()
def sync(grid: GridName) -> None:
    """Publish in MLflow what it was not told of a grid's studies, because it was away. Trains nothing; again changes nothing."""
    with user_errors() as begin:
        from ablate.console.progress import make_console
        from ablate.workflow.after.studies import sync_grid
        from ablate.workflow.folders import grid_name, places

        begin()
        missing = sync_grid(places(), grid_name=grid_name(grid))
        for study, unpublished in missing.items():
            make_console().print(
                f"{study}: "
                + (
                    f"{unpublished.n_attempts} attempts are missing ({unpublished.why})"
                    if unpublished.why
                    else "all is published"
                )
            )
    if any(unpublished.why for unpublished in missing.values()):
        raise typer.Exit(FAILED)


@app.command()
def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="REPORT", help="the folder of a report, e.g. reports/flowers")
    ],
) -> None:
    """Compute every number of a report again from the predictions stored in MLflow; name each that differs, and exit with 1 if any does."""
    with user_errors():
        from ablate.console.progress import make_console
        from ablate.workflow.after.reviews import verify_folder
        from ablate.workflow.folders import places

        findings = verify_folder(places(), folder)
        for finding in findings:
            typer.echo(str(finding))
        make_console().print(
            f"{folder}: "
            + (
                f"{len(findings)} places differ from the store"
                if findings
                else "every number is what the store gives"
            )
        )
    if findings:
        raise typer.Exit(FAILED)


@app.command()
def compare(
    first: Annotated[
        str, typer.Argument(metavar="GRID_A", help="a grid that was run, or GRID@STUDY")
    ],
    second: Annotated[str, typer.Argument(metavar="GRID_B", help="another one")],
) -> None:
    """Compare two studies on the arms that both trained; prints Markdown."""
    with user_errors():
        from ablate.workflow.after.reviews import compare_grids
        from ablate.workflow.folders import places

        typer.echo(compare_grids(places(), first, second))


@app.command()
def ui(
    grid: Annotated[
        str,
        typer.Argument(
            metavar="GRID", help="a grid whose trials the printed links show  [default: none]"
        ),
    ] = "",
    port: Annotated[int, typer.Option(min=1, max=65535, help="on 127.0.0.1")] = 5000,
) -> None:
    """Start the MLflow UI on 127.0.0.1, and print links that list and compare the grid's trials."""
    with user_errors():
        from ablate.console.progress import importing, make_console
        from ablate.workflow.folders import grid_name, places

        name, console = grid_name(grid) if grid else "", make_console()
        importing(console, REPORTING[:1])
        from ablate.workflow.after.ui import serve_ui

        leave_at_once("MLflow UI stopped")
        serve_ui(places(), grid_name=name, port=port, say=console.print)


def main() -> None:
    """Run a command of this process's arguments. Whatever it may interrupt is put away by then, so an interrupt after it ends the process at once."""
    leave_at_once()
    atexit.register(finish_undisturbed)  # registered first, so called last
    be_patient()
    if sys.argv[1:2] in (["report"], ["verify"]):
        gc.disable()  # their memory goes with the process; looking for cycles among the runs of a large study takes a sixth of the time
    sys.excepthook = show_without_passwords
    try:
        app()
    finally:
        leave_at_once()


def _read_grid(
    grid: str, *, data_dir: Path | None, optuna_storage: str | None = None
) -> tuple[Grid, Places]:
    """Read the grid file and the environment: what is cheap, so that a mistake in it is told at once."""
    from ablate.grid.parse import load_grid
    from ablate.workflow.folders import find_grid, places

    return load_grid(find_grid(grid)), places(data_dir=data_dir, optuna_url=optuna_storage)


def _seeds(text: str | None) -> tuple[int, ...] | None:
    """`0,1,2` -> (0, 1, 2)."""
    from ablate.grid.seeds import read_seeds

    return None if text is None else read_seeds(text)


if __name__ == "__main__":
    main()
