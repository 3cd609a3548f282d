"""Real studies on small pictures: class folders, a tiny backbone with random weights.

There is one MLflow store per session.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablate.workflow import grid_names

GRID = """\
# Does it all hang together?
task: classification
data: {source: folder, path: pictures, image_size: 32}
base: {backbone: test_efficientnet, weights: none, epochs: 1, batch_size: 8}
axes:
  freeze_depth: [all, -1]
  head_lr: [1.0e-3, 1.0e-2]
seeds: [0]
baseline: {freeze_depth: all}
select_by: val/macro_f1
"""


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One store for all tests: making a new one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


def draw_pictures(root: Path, *, counts: dict[str, dict[str, int]]) -> Path:
    """Write `<root>/<split>/<class>/<n>.png`."""
    for split, classes in counts.items():
        for label, (name, count) in enumerate(classes.items()):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                rng = np.random.default_rng([label, number, len(split)])
                pixels = rng.integers(0, 100, size=(40, 44, 3))
                pixels[..., label % 3] += 90
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return root


COUNTS = {
    "train": {"red": 8, "green": 8},
    "val": {"red": 4, "green": 4},
    "test": {"red": 5, "green": 4},
}


@pytest.fixture
def desk(tmp_path: Path, tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with data and a home of its own."""
    draw_pictures(tmp_path / "data" / "pictures", counts=COUNTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ABLATE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    # The examples of the package would be among the names that messages list.
    monkeypatch.setattr(grid_names, "packaged_grids", lambda: tmp_path / "no examples")
    return tmp_path


@pytest.fixture
def write_grid(desk: Path) -> Callable[..., Path]:
    """Write a grid file of a unique name; `changes` are pairs of a text and its replacement."""

    def write(name: str, *changes: tuple[str, str]) -> Path:
        text = GRID
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = desk / f"{name}.yaml"
        path.write_text(text)
        return path

    return write
