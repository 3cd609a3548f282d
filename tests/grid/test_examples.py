"""Every grid file of experiments/ is right, says how to run it, and has an arm to compare with."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.grid.expand import expand
from ablate.grid.parse import load_grid

FILES = sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))


def test_the_glob_finds_the_examples() -> None:
    assert {"flowers", "smoke", "textile", "recipe", "adapters", "probe_mini"} <= {
        path.stem for path in FILES
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_parses_expands_and_explains_itself(path: Path) -> None:
    grid = load_grid(path)
    expansion = expand(grid, data=grid.data, fingerprint="f" * 64)
    if grid.search is None:
        assert len(expansion.arms) >= 2
        assert expansion.baseline_arm_id in {arm.arm_id for arm in expansion.arms}
    else:  # its arms are found on the way
        assert grid.space and grid.search.confirm >= 2
    head = path.read_text().split("task:")[0]
    assert grid.question and f"# run: make ablation GRID={path.stem}" in head and "# expect" in head
