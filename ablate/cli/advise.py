"""`ablate advise`."""

from __future__ import annotations

from typing import Annotated

import typer

from ablate.cli.options import DataDir, GpuGb, HasHub, Json, Minutes, NoFallback, grids_and_folders
from ablate.cli.output import console_for, print_document
from ablate.exits import user_errors


def advise(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER_OR_GRID",
            help="a folder of images (class folders, or train and test folders of them), "
            "or a grid, whose data are looked at",
            autocompletion=grids_and_folders,
        ),
    ],
    gpu_gb: GpuGb = None,
    minutes: Minutes = None,
    has_hub: HasHub = False,
    no_features: Annotated[
        bool,
        typer.Option(
            "--no-features",
            help="do not measure how well frozen features tell the classes apart",
        ),
    ] = False,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="measure a few steps of the advised study here"),
    ] = False,
    data_dir: DataDir = None,
    no_fallback: NoFallback = False,
    as_json: Json = False,
) -> None:
    """Say how to fine-tune on given images and a given computer, and why. Trains nothing."""
    with user_errors(is_json=as_json) as begin:
        console = console_for(is_json=as_json)
        console.print(f"looking at {target} ...")
        from ablate.console.advice import show_advice
        from ablate.workflow.advice.advised import advise_on, find_target, load_target
        from ablate.workflow.advice.this_machine import this_machine
        from ablate.workflow.folders import find_folders
        from ablate.workflow.init.traps import time_traps

        folders = find_folders(data_dir=data_dir)
        wanted = find_target(target, folders)
        machine = this_machine(gpu_gb=gpu_gb, minutes=minutes, has_hub=has_hub)
        begin()
        loaded = load_target(wanted, allow_fallback=not no_fallback)
        from ablate.console.before_run import classes_line, data_line

        data_set = loaded[1]
        console.print(data_line(data_set.facts))
        console.print(classes_line(data_set.facts))
        for remark in data_set.remarks:
            console.print(remark)
        score = None
        if not no_features:
            from ablate.console.screen import TRAINING, importing

            importing(console, TRAINING[:2])
            from ablate.workflow.advice.feature_score import feature_score

            score = feature_score(data_set)
        advised = advise_on(wanted, loaded, machine, probe_score=score)
        show_advice(console, advised)
        console.print(f"\nestimate: {advised.cost.line}")
        for trap in time_traps(advised.cost, machine.minutes):
            console.print(f"note: {trap.text}")
        if wanted.is_folder:
            console.print(
                "ablate init writes this as a grid file, after a look for groups of images, masks, "
                "damaged files and labels in tables"
            )
        estimate = None
        if probe:
            from ablate.console.before_run import show_estimate

            estimate = advised.estimate(folders)
            show_estimate(console, estimate)
        if as_json:
            from ablate.cli.documents import advice_document

            print_document(advice_document(advised, estimate))
