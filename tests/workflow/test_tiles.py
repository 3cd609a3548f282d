"""Images cut into tiles, from the grid file to the champion: one row per image everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import ablate
from ablate.cli import app

WriteGrid = Callable[..., Path]
DEALT = "split_seed: 0, fractions: {train: 0.5, val: 0.25, test: 0.25},"
ONE_ARM = ("head_lr: [1.0e-3, 1.0e-2]", "head_lr: [1.0e-2]")
N_IMAGES = 24
SIDE = 64


@pytest.fixture(autouse=True)
def weave(desk: Path) -> None:
    """Cloth of twice the side that the network sees; a defect is threads of a single pixel.

    At half the side two threads, one lighter and one darker, are one pixel of the cloth's grey.
    """
    for kind, name in enumerate(("sound", "defect")):
        folder = desk / "data" / "weave" / name
        folder.mkdir(parents=True)
        for number in range(N_IMAGES):
            rng = np.random.default_rng([kind, number])
            # squares of two pixels, so that what is smaller is nothing of the cloth's own
            coarse = rng.integers(90, 160, size=(SIDE, SIDE, 1))
            pixels = np.repeat(np.repeat(coarse, 2, axis=0), 2, axis=1).repeat(3, axis=2)
            if kind == 1:
                threads = np.indices((2 * SIDE, 2 * SIDE)).sum(axis=0) % 2 * 2 - 1
                pixels = pixels + 80 * threads[..., None]
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")


def of_weave(more: str) -> tuple[tuple[str, str], ...]:
    return (
        ("path: pictures,", f"path: weave, view: squash, {more} {DEALT}"),
        ("image_size: 32", f"image_size: {SIDE}"),
        ("freeze_depth: [all, -1]", "freeze_depth: [all]"),
        ONE_ARM,
        ("epochs: 1", "epochs: 16, interpolation: box, precision: fp32"),
    )


def run(write_grid: WriteGrid, name: str, more: str) -> ablate.Study:
    result = CliRunner().invoke(
        app, ["run", str(write_grid(name, *of_weave(more))), "--workers", "1"]
    )
    assert result.exit_code == 0, result.output + str(result.exception)
    return ablate.open_study(name)


@pytest.mark.slow
def test_a_defect_of_single_pixels_is_seen_in_tiles_alone(
    desk: Path, write_grid: WriteGrid
) -> None:
    whole = run(write_grid, "whole", "tiles: 1x1,")
    tiled = run(write_grid, "tiled", "tiles: 2x2, tiles_join: max,")
    (of_tiled,) = tiled.trials["test/macro_f1"]
    (of_whole,) = whole.trials["test/macro_f1"]
    assert of_tiled > 0.95
    assert of_whole < 0.8

    # one row per image, with its own name, however many tiles it has
    stored = tiled.predictions()
    assert len(stored) == len(whole.predictions())
    test = stored[stored["split"] == "test"]
    assert set(test["image_id"]) == set(whole.predictions().query("split == 'test'")["image_id"])
    readme = (desk / "reports" / "tiled" / "README.md").read_text()
    assert "each of 2x2 tiles as an image of its own, scores joined by their max" in readme
    assert "whole tiles, squashed to a square" in readme

    # a photograph at the desk is cut and joined as the test images were
    files = [desk / "data" / "weave" / image_id for image_id in test["image_id"]]
    asked = tiled.champion.predict(files)
    columns = [name for name in test.columns if name.startswith("p/")]
    np.testing.assert_allclose(asked[columns].to_numpy(), test[columns].to_numpy(), atol=1e-4)


def test_a_plan_says_the_tiles(write_grid: WriteGrid) -> None:
    result = CliRunner().invoke(
        app, ["plan", str(write_grid("says", *of_weave("tiles: 2x2, tiles_join: max,")))]
    )
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert (
        "tiles: each image is cut into 2x2 (rows x columns), images of their own to a network, "
        "96 in train; an image's scores are the max of its tiles'" in words
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "tiles: 2,",
            "tiles: must be rows x columns of tiles such as 2x2, each from 1 to 8, got 2",
        ),
        ("tiles: 0x2,", "must be"),
        ('tiles: "9x1",', "must be rows x columns of tiles such as 2x2, each from 1 to 8, got"),
        ("tiles_join: max,", "tiles_join must be left out where images stay whole"),
        ("tiles: 2x2, tiles_join: median,", "tiles_join: must be 'mean' or 'max'"),
    ],
)
def test_what_is_no_tiling_is_refused(write_grid: WriteGrid, more: str, message: str) -> None:
    result = CliRunner().invoke(app, ["plan", str(write_grid("wrong", *of_weave(more)))])
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
