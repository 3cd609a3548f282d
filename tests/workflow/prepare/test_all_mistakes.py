"""Whole messages: what only data and networks can tell is listed together, each with its line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ablate import api
from ablate.cli import app
from ablate.errors import DataError, SpecError

WriteGrid = Callable[..., Path]
_NO_SOURCE = (
    "must be one of flowers102, rendered_flowers, textile, folder, parquet, webdataset, "
    "torchvision:<Name> for task "
    "classification, got 'foldr'; did you mean folder?"
)
_NO_BACKBONE = (
    "must be the name of a timm classification model, got 'test_eficientnet'; nearest: "
    "test_efficientnet, test_efficientnet_ln, test_efficientnet_gn"
)
_NO_FILE = (
    "must be auto, hub, torchvision, more, none or the path of a file, and there is no file "
    "'mine.pth'"
)


def _refused(command: str, grid: Path, *options: str) -> str:
    result = CliRunner().invoke(app, [command, str(grid), *options])
    assert result.exit_code == 2, result.output
    return result.stderr.strip()


@pytest.mark.parametrize(
    "command", [pytest.param("run", marks=pytest.mark.slow), "plan", "views", "lr-find"]
)
def test_a_wrong_source_hides_neither_backbone_nor_weights(
    command: str, desk: Path, write_grid: WriteGrid
) -> None:
    grid = write_grid(
        "three",
        ("source: folder, path: pictures", "source: foldr"),
        ("test_efficientnet, weights: none", "test_eficientnet, weights: mine.pth"),
    )
    assert _refused(command, grid) == (
        f"error: {grid}: 3 mistakes, nothing was started\n"
        f"  line 3: data.source: {_NO_SOURCE}\n"
        f"  line 4: base.backbone: {_NO_BACKBONE}\n"
        f"  line 4: base.weights: {_NO_FILE}"
    )


def test_a_wrong_backbone_does_not_hide_weights_and_settings_have_no_line(
    desk: Path, write_grid: WriteGrid
) -> None:
    grid = write_grid("two", ("weights: none", "weights: mine.pth"))
    assert _refused("plan", grid, "--set", "base.backbone=test_eficientnet") == (
        f"error: {grid}: 2 mistakes, nothing was started\n"
        f"  --set base.backbone: {_NO_BACKBONE}\n"
        f"  line 4: base.weights: {_NO_FILE}"
    )


def test_every_level_of_an_axis_is_looked_at(desk: Path, write_grid: WriteGrid) -> None:
    grid = write_grid(
        "levels",
        ("head_lr: [1.0e-3, 1.0e-2]", "backbone: [test_efficientnet, test_eficientnet, test_vitt]"),
    )
    assert _refused("plan", grid) == (
        f"error: {grid}: 2 mistakes, nothing was started\n"
        f"  line 7: axes.backbone[1]: {_NO_BACKBONE}\n"
        "  line 7: axes.backbone[2]: must be the name of a timm classification model, got "
        "'test_vitt'; nearest: test_vit, test_vit4, test_vit3"
    )


def test_a_depth_that_no_network_has_does_not_hide_weights(
    desk: Path, write_grid: WriteGrid
) -> None:
    grid = write_grid(
        "depth",
        ("[all, -1]", "[all, 40]"),
        ("head_lr: [1.0e-3, 1.0e-2]", "weights: [none, mine.pth]"),
    )
    assert _refused("plan", grid) == (
        f"error: {grid}: 2 mistakes, nothing was started\n"
        "  line 6: axes.freeze_depth: arm freeze_depth=40 weights=none: freeze_depth must be all "
        "or an int in [-7, 7] for test_efficientnet, got 40; all is a linear probe, -1 leaves the "
        "last unit free, 0 is full fine-tuning\n"
        f"  line 7: axes.weights[1]: {_NO_FILE}"
    )


def test_images_that_are_wrong_are_listed_too(desk: Path, write_grid: WriteGrid) -> None:
    shutil.rmtree(desk / "data" / "pictures")
    grid = write_grid("images", ("weights: none", "weights: mine.pth"))
    assert _refused("plan", grid) == (
        f"error: {grid}: 2 mistakes, nothing was started\n"
        "  line 3: data.path: must be a folder or a CSV file below the data folder "
        f"{desk / 'data'}, got 'pictures', which does not exist; the data folder is set by "
        "--data-dir (make: DATA_DIR=...) or ABLATE_DATA.\n"
        f"  line 4: base.weights: {_NO_FILE}"
    )


def test_one_mistake_keeps_its_own_error(desk: Path, write_grid: WriteGrid) -> None:
    grid = write_grid("one", ("source: folder, path: pictures", "source: foldr"))
    with pytest.raises(DataError) as caught:
        api.plan(grid)
    assert str(caught.value) == f"data.source {_NO_SOURCE}"


def test_a_grid_made_in_python_has_no_lines(desk: Path) -> None:
    with pytest.raises(SpecError) as caught:
        api.plan(
            {
                "task": "classification",
                "data": {"source": "folder"},
                "base": {"backbone": "test_eficientnet", "weights": "none"},
                "axes": {"head_lr": [0.1, 0.2]},
                "seeds": [0],
                "baseline": {"head_lr": 0.1},
                "select_by": "val/accuracy",
            }
        )
    assert str(caught.value) == (
        "grid 'grid': 2 mistakes, nothing was started\n"
        "  data.path: must be a folder or a CSV file below the data folder "
        f"{desk / 'data'} where the source is folder, got nothing; the data folder is set by "
        "--data-dir (make: DATA_DIR=...) or ABLATE_DATA.\n"
        f"  base.backbone: {_NO_BACKBONE}"
    )
