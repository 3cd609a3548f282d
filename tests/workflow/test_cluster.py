"""A real study on a real cluster of two nodes, through the command line, beside the same study on this machine."""

from __future__ import annotations

import csv
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from toy_cluster import two_nodes
from typer.testing import CliRunner

from ablate.cli import app
from ablate.data.store import verify_store

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'ablate[ray]'")


def scores(report: Path) -> list[dict[str, str]]:
    """Rows of trials.csv without what is a time, a place or an identity of a run."""
    rows = list(csv.DictReader((report / "trials.csv").open()))
    assert len(rows) == 4
    kept = [name for name in rows[0] if name.startswith(("val/", "test/", "arm", "seed", "state"))]
    assert len(kept) > 10
    return sorted(({name: row[name] for name in kept} for row in rows), key=str)


def test_a_cluster_gives_the_numbers_of_one_machine(write_grid: Callable[..., Path], desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_grid("clustered", ("batch_size: 8}", "batch_size: 8, precision: fp32}"))
    cluster = two_nodes()
    ran = CliRunner().invoke(app, ["run", str(path), "--executor", "ray", "--address", cluster.address, "--report-dir", "ray"])
    assert ran.exit_code == 0, ran.output
    assert "trials: 4 completed now" in ran.output
    stores = list((cluster.folder / "node2" / "images").glob("*/meta.json"))
    assert stores, "the second node got no image store, so it ran nothing"
    for store in stores:
        verify_store(store.parent)

    monkeypatch.setenv("ABLATE_HOME", str(desk / "other-home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{desk / 'other.db'}")
    alone = CliRunner().invoke(app, ["run", str(path), "--report-dir", "local"])
    assert alone.exit_code == 0, alone.output
    assert scores(desk / "ray") == scores(desk / "local")
