"""What is shared is said before, and kept where it can be listed and cleared."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ablate.cli import app
from ablate.tracking.mlflow_store import MlflowStore

WriteGrid = Callable[..., Path]


def _out(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.stdout


def test_plan_counts_the_passes_that_sharing_saves(desk: Path, write_grid: WriteGrid) -> None:
    grid = write_grid(
        "counted",
        ("[all, -1]", "[all, -1, 0]"),
        ("epochs: 1", "epochs: 2"),
        ("batch_size: 8", "batch_size: 8, augment: light"),
    )
    out = _out("plan", str(grid), "--seeds", "0,1")
    # 4 arms with a prefix x 2 seeds x (2 epochs x (16 train + 8 val) + 9 test)
    alone = 4 * 2 * (2 * (16 + 8) + 9)
    # random trunks differ by seed, so each has its own 8 + 9 held out
    together = 2 * 2 * 16 + 2 * (8 + 9)
    assert (
        f"sharing: {together:,} of {alone:,} passes through frozen prefixes remain "
        f"({alone / together:.1f} times fewer)" in out
    )
    assert "nothing to keep: whole network" in out


@pytest.mark.slow
def test_what_plan_says_is_what_happens(
    desk: Path, write_grid: WriteGrid, tracking_uri: str
) -> None:
    grid = write_grid(
        "happens", ("epochs: 1", "epochs: 2"), ("batch_size: 8", "batch_size: 8, augment: light")
    )
    assert "sharing: 49 of 228 passes" in _out("plan", str(grid))
    _out("run", str(grid), "--workers", "1")
    study = MlflowStore(tracking_uri, "happens").read_study("happens")
    computed = [run.facts.views_computed or 0 for run in study.runs]
    # two epochs of train, val, test: one trial computes them, the others take them
    assert sum(computed) == 4


@pytest.mark.slow
def test_kept_activations_are_listed_and_cleared(desk: Path, write_grid: WriteGrid) -> None:
    assert _out("cache", "list") == "0 views, 0.0 MB\n"
    grid = write_grid("listed")
    _out("run", str(grid))
    listed = _out("cache", "list")
    assert "test_efficientnet" in listed
    assert "\n6 views, " in listed  # train, val and test, at the classifier and at the last unit
    with (desk / "reports/listed/trials.csv").open() as file:
        before = [row["val/macro_f1"] for row in csv.DictReader(file)]
    assert _out("cache", "clear").startswith("removed 6 views, ")
    assert _out("cache", "list") == "0 views, 0.0 MB\n"
    assert "trials: 0 completed now, 4 before" in _out("run", str(grid))
    with (desk / "reports/listed/trials.csv").open() as file:
        assert [row["val/macro_f1"] for row in csv.DictReader(file)] == before


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"", b"\0" * 64], ids=["empty", "zeros"])
def test_a_damaged_cache_is_told_of_and_changes_nothing(
    desk: Path, write_grid: WriteGrid, damage: bytes, tracking_uri: str
) -> None:
    name = f"damaged{len(damage)}"
    _out("run", str(write_grid(name)), "--workers", "1")
    for rows in (desk / "home/activations").glob("*/rows.bin"):
        rows.write_bytes(damage)
    _out("run", str(write_grid(name, ("1.0e-2]", "1.0e-2, 3.0e-3]"))), "--workers", "1")
    study = MlflowStore(tracking_uri, name).read_study(name)
    facts = [" ".join([*run.tags.values(), *run.params.values()]) for run in study.runs]
    assert sum("was damaged and is built again" in fact for fact in facts) >= 1
    assert all(run.status == "COMPLETE" for run in study.runs)
