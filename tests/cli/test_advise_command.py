"""`ablate advise` as a user types it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from ablate.cli import app
from ablate.grid.grid_file import Grid
from ablate.grid.parse import parse_grid
from ablate.workflow.folders import Folders
from ablate.workflow.plan.estimate_grid import Estimate

GRID = """\
# Does it all hang together?
task: classification
data:
  {source: folder, path: tiles, image_size: 32, split_seed: 1,
   fractions: {train: 0.5, val: 0.25, test: 0.25}}
base: {backbone: test_efficientnet, weights: none, epochs: 1, batch_size: 8}
axes: {freeze_depth: [all, -1]}
seeds: [0]
baseline: {freeze_depth: all}
select_by: val/macro_f1
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with images of defects, and a grid on them."""
    rng = np.random.default_rng(0)
    for name, n_images in (("good", 24), ("crack", 12)):
        folder = tmp_path / "tiles" / name
        folder.mkdir(parents=True)
        for number in range(n_images):
            pixels = rng.integers(0, 255, size=(40, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "tiny.yaml").write_text(GRID)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ABLATE_DATA", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield tmp_path


def test_a_folder_gets_a_plan_in_words(desk: Path) -> None:
    result = CliRunner().invoke(app, ["advise", "tiles", "--no-features"])
    assert result.exit_code == 0, result.output
    for words in (
        "data.view: squash",
        "the whole image is seen",
        "What is frozen when",
        "base.class_weights: balanced",
        "[Cui et al. 2019",
        "names of classes speak of defects or the like",
        "estimate: about",
    ):
        assert words in result.output, words
    assert not (desk / "home").exists()


def test_what_a_folder_and_too_little_time_are_told(desk: Path) -> None:
    result = CliRunner().invoke(app, ["advise", "tiles", "--no-features", "--minutes", "0.1"])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "min, and 0 were asked for" in said
    assert "ablate init writes this as a grid file, after a look for groups of images" in said


def test_a_folder_of_parquet_tables(desk: Path) -> None:
    rows: dict[str, list[Any]] = {"image": [], "label": []}
    for path in sorted((desk / "tiles").rglob("*.png")):
        rows["image"].append({"bytes": path.read_bytes(), "path": path.name})
        rows["label"].append(path.parent.name)
    (desk / "hub" / "data").mkdir(parents=True)
    pq.write_table(pa.table(rows), desk / "hub" / "data" / "train-00000-of-00001.parquet")
    result = CliRunner().invoke(app, ["advise", "hub", "--no-features", "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["grid"]["data"]["source"] == "parquet"
    assert sum(document["facts"]["train_counts"].values()) == 22


def test_data_beside_the_grid_file(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = desk / "tiny.yaml"
    grid.write_text(GRID.replace("path: tiles", "path: ./tiles"))
    monkeypatch.delenv("ABLATE_DATA")
    monkeypatch.chdir("/")
    result = CliRunner().invoke(app, ["advise", str(grid), "--no-features"])
    assert result.exit_code == 0, result.output
    assert "train 18" in result.output
    assert "ablate init" not in result.output


@pytest.mark.parametrize("target", ["tiles", "tiny.yaml"])
def test_the_document_holds_a_grid_that_can_be_run(desk: Path, target: str) -> None:
    result = CliRunner().invoke(
        app, ["advise", target, "--no-features", "--json", "--minutes", "5", "--gpu-gb", "8"]
    )
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["machine"]["gpu_gb"] == 8
    assert document["machine"]["minutes"] == 5
    assert document["facts"]["train_counts"].keys() == {"crack", "good"}
    first = document["recommendations"][0]
    assert first.keys() == {"field", "value", "why", "source", "alternatives"}
    # JSON is YAML.
    grid = parse_grid(json.dumps(document["grid"]), name="advised", shown_as="advised")
    assert grid.data.path == "tiles"
    assert grid.data.view == "squash"
    expected_seed = {"tiles": 0, "tiny.yaml": 1}[target]
    assert grid.data.split_seed == expected_seed


def test_a_probe_measures_the_advised_grid(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Planned:
        def estimate(self) -> Estimate:
            return Estimate(rows=[{"kind": "probe", "s": 1}], lines=["in all 3 s"], trial_s={})

    def plan_grid(grid: Grid, folders: Folders) -> Planned:
        asked.append((grid, folders))
        return Planned()

    monkeypatch.setattr("ablate.workflow.plan.plan_grid.plan_grid", plan_grid)
    result = CliRunner().invoke(app, ["advise", "tiles", "--no-features", "--probe"])
    assert result.exit_code == 0, result.output
    assert "in all 3 s" in result.output
    ((grid, folders),) = asked
    assert grid.data.path == "tiles"
    assert grid.base.backbone == "tf_efficientnet_lite0"
    assert folders.data_dir == desk


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "nothing",
            "error: FOLDER_OR_GRID must be a folder of images that is there, or a grid: "
            "GRID must be",
        ),
        ("a\0b", "error: FOLDER_OR_GRID must be"),
        ("x" * 5000, "error: FOLDER_OR_GRID must be"),
        ("empty", "error: a folder of images must hold one folder per class"),
        ("/", "error: FOLDER must be a folder of images below another folder, got /"),
    ],
)
def test_a_mistake_is_a_message(desk: Path, target: str, message: str) -> None:
    (desk / "empty").mkdir()
    result = CliRunner().invoke(app, ["advise", target, "--no-features"])
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "Traceback" not in result.output
