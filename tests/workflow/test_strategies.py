"""Strategies and phases as axes of a real study.

Trained, counted before, and reported under names that can be read.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ablate.cli import app
from ablate.study.trial_facts import PhaseFact
from ablate.tracking.mlflow_store import MlflowStore

WriteGrid = Callable[..., Path]
AXES = "  freeze_depth: [all, -1]\n  head_lr: [1.0e-3, 1.0e-2]\n"
PHASES = """\
  phases:
    - []
    - - {epochs: 1, freeze_depth: all, head_lr: 1.0e-2}
      - {epochs: 1, freeze_depth: -1, until: plateau, patience: 1}
  strategy: [single, lp_ft]
"""


def _out(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.stdout


@pytest.mark.slow
def test_phases_are_trained_counted_and_reported(
    desk: Path, write_grid: WriteGrid, tracking_uri: str
) -> None:
    grid = write_grid(
        "phased",
        (AXES, PHASES),
        ("epochs: 1, batch_size: 8", "epochs: 2, batch_size: 8, freeze_depth: -1, augment: light"),
        ("{freeze_depth: all}", "{strategy: single}"),
    )
    plan = _out("plan", str(grid))
    assert (
        "grid: 4 cells = 3 arms + 0 merged with an equal one + 1 left out; 1 seed; 3 trials" in plan
    )
    # single: 2 x (16 + 8) + 9 at the last unit; each other arm 16 + 8 at the head and 16 + 8 + 9
    # at the last unit
    assert "of 171 passes through frozen prefixes remain" in plan
    _out("run", str(grid), "--workers", "1")
    with (desk / "reports/phased/trials.csv").open() as file:
        arms = {row["arm"] for row in csv.DictReader(file)}
    names = {
        "phases=none strategy=single",
        "phases=none strategy=lp_ft",
        "phases=1xall(head_lr=0.01)+1x-1(plateau=1) strategy=single",
    }
    assert arms == names
    readme = (desk / "reports/phased/README.md").read_text()
    # A report names arms by what differs from the baseline, here the first.
    for name in ("baseline", "strategy=lp_ft", "phases=1xall(head_lr=0.01)+1x-1(plateau=1)"):
        assert f"`{name}`" in readme
    study = MlflowStore(tracking_uri, "phased").read_study("phased")
    phases = {run.arm_id: run.facts.phases for run in study.runs if run.facts.phases}
    assert len(phases) == 2
    second = [of_arm[1] for of_arm in phases.values()]
    thawed = PhaseFact(epochs=1, patience=1, freeze_depth=6, n_units=7, thawed=("conv_head+bn2",))
    assert second.count(thawed) == 1


@pytest.mark.slow
def test_lr_find_suggests_and_touches_nothing(desk: Path, write_grid: WriteGrid) -> None:
    grid = write_grid("found")
    out = _out("lr-find", str(grid), "--steps", "20", "--arm", "freeze_depth=-1 head_lr=0.01")
    assert "suggestion: head_lr " in out
    assert not list(desk.glob("home/studies/*"))
    assert not list(desk.glob("home/activations/*"))
    wrong = CliRunner().invoke(app, ["lr-find", str(grid), "--arm", "freeze_depth=-1 head_lr=0.1"])
    assert wrong.exit_code == 2
    assert wrong.stderr.splitlines()[-1] == (
        "error: --arm must be an arm of the grid as `ablate plan` names them, got "
        "'freeze_depth=-1 head_lr=0.1'; did you mean 'freeze_depth=-1 head_lr=0.01'?"
    )
