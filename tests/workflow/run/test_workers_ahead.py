"""A run whose workers are forked ends as one whose workers are spawned, and needs no torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from support import ON_PATH

from ablate.workflow.run.workers_ahead import workers_ahead

RUNS = """
import json, os, sys
from pathlib import Path
from ablate.scheduling.executors import local
from ablate.workflow.run import workers_ahead
is_spawned, grid = sys.argv[1] == "spawned", sys.argv[2]
if is_spawned:
    workers_ahead.can_fork = lambda: False
kinds = set()
new_process = local._Worker._new_process
def seen(self, *arguments):
    process = new_process(self, *arguments)
    kinds.add(type(process).__name__)
    return process
local._Worker._new_process = seen
from ablate.__main__ import main
sys.argv[1:] = ["run", grid, "--workers", "2", "--threads", "1"]
try:
    main()
finally:
    Path("seen.json").write_text(json.dumps([sorted(kinds), "torch" in sys.modules]))
"""


def _trial_files(home: Path) -> dict[str, object]:
    """What trials wrote: weights as bytes, predictions as tables."""
    files: dict[str, object] = {}
    for path in sorted(home.glob("studies/*/trials/*/*")):
        name = f"{path.parent.name}/{path.name}"
        if path.suffix == ".safetensors":
            files[name] = path.read_bytes()
        elif path.suffix == ".parquet":
            files[name] = parquet.read_table(path).to_pydict()
    return files


@pytest.mark.slow
def test_forked_workers_give_what_spawned_ones_give(
    desk: Path, write_grid: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit of weights and predictions: adapters, views, frozen prefixes and none."""
    found = []
    for number, kind in enumerate(("forked", "spawned")):
        home = desk / f"home-{kind}"
        if number:  # how this machine computes was measured once and is remembered
            home.mkdir()
            for remembered in (desk / "home-forked").glob("*.json"):
                shutil.copy(remembered, home)
        axes = ("[all, -1]", "[all, -1, 0]")
        grid = write_grid(kind, axes, ("batch_size: 8", "batch_size: 8, augment: medium"))
        done = subprocess.run(
            [sys.executable, "-c", RUNS, kind, str(grid)],
            env={**os.environ, "ABLATE_HOME": str(home), "PYTHONPATH": ON_PATH},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        kinds, has_torch = json.loads((desk / "seen.json").read_text())
        assert kinds == [{"forked": "ForkedProcess", "spawned": "Popen"}[kind]]
        assert has_torch == (kind == "spawned")
        found.append(_trial_files(home))
    forked, spawned = found
    assert len(forked) >= 2 * 6
    assert forked == spawned


@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_only_workers_of_this_machine_are_forked(executor: str) -> None:
    with workers_ahead(executor, None) as server:
        assert server is None


def test_other_systems_spawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with workers_ahead("local", None) as server:
        assert server is None
