"""Budgets, and what is asked of a study from outside: its status, and MLflow's catching up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ablate.cli import app
from ablate.errors import SpecError
from ablate.workflow.prepare.option_checks import read_seconds


@pytest.mark.slow
def test_a_study_in_two_calls_and_its_status_between_them(
    desk: Path, write_grid: Callable[..., Path]
) -> None:
    grid = str(write_grid("limited"))
    first = CliRunner().invoke(
        app, ["run", grid, "--max-trials", "1", "--budget", "30m", "--trial-timeout", "10m"]
    )
    assert first.exit_code == 0, first.output
    assert "trials: 1 completed now, 0 before, 0 failed, 3 left for the next call" in first.stdout
    (status,) = json.loads(CliRunner().invoke(app, ["status", "limited", "--json"]).stdout)
    assert (status["states"], status["n_trials"], status["conductor"]) == (
        {"COMPLETE": 1, "WAITING": 3},
        4,
        None,
    )
    assert (status["report"]["is_of_this_study"], status["report"]["n_lacking"]) == (True, 0)
    shown = CliRunner().invoke(app, ["status", "limited", "--watch"]).stdout
    assert "4 trials, 1 attempts; not running; repeat the command to resume" in shown
    assert "report: reports/limited/README.md has every completed trial; champion: " in shown
    assert (
        CliRunner()
        .invoke(app, ["run", grid, "--only-failed"])
        .stdout.count("trials: 0 completed now, 1 before, 0 failed, 3 left for the next call")
        == 1
    )
    for _ in range(2):
        synced = CliRunner().invoke(app, ["sync", "limited"])
        assert (synced.exit_code, synced.stdout.split(": ")[1]) == (0, "all is published\n")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("30m", 1800), ("1h30m", 5400), ("1.5h", 5400), (" 2D ", 172800)],
)
def test_times(text: str, seconds: float) -> None:
    assert read_seconds(text, option="--budget") == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3m", "3 m", "0", "1h x"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_seconds(text, option="--budget")
    assert (
        str(caught.value) == f"--budget must be a time such as 90s, 30m, 1h30m or 2d, got {text!r}"
    )
