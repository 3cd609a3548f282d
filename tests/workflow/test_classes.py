"""Regrouped classes, as a person walks the path: three colours in, a binary study out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ablate.cli import app
from ablate.tracking.mlflow_store import MlflowStore

from .conftest import draw_pictures

WriteGrid = Callable[..., Path]
GROUPED = ("path: pictures,", "path: colours, classes: {warm: [red, yellow], cold: [blue]},")


@pytest.fixture(autouse=True)
def colours(desk: Path) -> None:
    counts = {"train": 6, "val": 3, "test": 4}
    draw_pictures(
        desk / "data" / "colours",
        counts={split: dict.fromkeys(("red", "yellow", "blue"), n) for split, n in counts.items()},
    )


@pytest.mark.slow
def test_report_cards_and_runs_tell_of_the_new_classes(
    desk: Path, write_grid: WriteGrid, tracking_uri: str
) -> None:
    weights = ("head_lr: [1.0e-3, 1.0e-2]", "class_weights: [none, balanced, {cold: 3.0}]")
    grid = write_grid(
        "grouped",
        GROUPED,
        weights,
        ("freeze_depth: [all, -1]", "freeze_depth: [all]"),
        ("val/macro_f1", "val/average_precision"),
    )
    result = CliRunner().invoke(app, ["run", str(grid), "--workers", "1"])
    assert result.exit_code == 0, result.output + str(result.exception)
    report = desk / "reports" / "grouped"
    readme = (report / "README.md").read_text()
    assert (
        "2 classes regrouped (`warm` = `red`, `yellow`; `cold` = `blue`); images: train 18, val "
        "9, test 12." in readme
    )
    assert "| classes regrouped | `warm` = `red`, `yellow`; `cold` = `blue` |" in readme
    assert (
        "Classes regrouped: `warm` = `red`, `yellow`; `cold` = `blue`."
        in (report / "cards" / "champion.md").read_text()
    )
    runs = MlflowStore(tracking_uri, "grouped").read_study("grouped").runs
    assert {run.params["data.classes"] for run in runs} == {
        '[["warm", ["red", "yellow"]], ["cold", ["blue"]]]'
    }
    assert sorted(run.facts.class_weights or () for run in runs) == [(), (0.75, 1.5), (1.0, 3.0)]
    assert "At a precision" not in readme

    grid.write_text(grid.read_text() + "target_precision: 0.6\n")
    again = CliRunner().invoke(app, ["run", str(grid)])
    assert "trials: 0 completed now, 3 before, 0 failed" in again.stdout, again.output
    assert "## At a precision of 0.6 on val" in (report / "README.md").read_text()
    verified = CliRunner().invoke(app, ["verify", str(report)])
    assert verified.exit_code == 0, verified.output


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "blue",
            "blu",
            "data.classes.cold must name classes of source folder (blue, red, yellow), got "
            "'blu'; did you mean blue?",
        ),
        (
            "[red, yellow]",
            "[red]",
            "every class of source folder must be in a list of data.classes, these are in none: "
            "yellow; "
            'name them, or let one new class take all the rest: ["*"].',
        ),
    ],
)
def test_groups_that_do_not_fit_the_source_stop_before_anything_starts(
    desk: Path, write_grid: WriteGrid, old: str, new: str, message: str
) -> None:
    grid = write_grid("bad_groups", GROUPED, (old, new))
    result = CliRunner().invoke(app, ["run", str(grid)])
    assert result.exit_code == 2
    assert result.stderr == f"error: {message}\n"
    assert not list(desk.glob("home/studies/*/journal.jsonl")) and not list(
        desk.glob("home/images/*")
    )


def test_a_target_precision_needs_two_classes(write_grid: WriteGrid) -> None:
    grid = write_grid(
        "three",
        ("path: pictures,", "path: colours,"),
        ("seeds: [0]", "seeds: [0]\ntarget_precision: 0.9"),
    )
    result = CliRunner().invoke(app, ["run", str(grid)])
    assert result.exit_code == 2
    assert result.stderr == (
        "error: target_precision must be left out where there are not two classes: source folder "
        "has blue, red, yellow; "
        'data.classes can regroup them, e.g. {good: [...], defect: ["*"]}\n'
    )


def test_weights_of_the_old_classes_are_refused(write_grid: WriteGrid) -> None:
    grid = write_grid("old_weights", GROUPED, ("epochs: 1", "epochs: 1, class_weights: {red: 2.0}"))
    result = CliRunner().invoke(app, ["run", str(grid)])
    assert result.exit_code == 2
    assert (
        result.stderr
        == "error: arm freeze_depth=all head_lr=0.001: class_weights must name classes of the "
        "data (warm, cold), got red\n"
    )
