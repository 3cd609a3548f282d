"""Whole images from the grid file to the champion: stored, trained, reported, predicted."""

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


@pytest.fixture(autouse=True)
def strips(desk: Path) -> None:
    """Images four times as wide as high; a defect lies at one end, where no middle square is."""
    for name in ("sound", "defect"):
        folder = desk / "data" / "strips" / name
        folder.mkdir(parents=True)
        for number in range(16):
            rng = np.random.default_rng([len(name), number])
            pixels = rng.integers(60, 120, size=(40, 160, 3), dtype=np.uint8)
            if name == "defect":
                left = 2 if number % 2 else 128
                pixels[5:35, left : left + 30] = (250, 20, 20)
            Image.fromarray(pixels).save(folder / f"{name}{number}.png")


def of_strips(more: str) -> tuple[str, str]:
    return "path: pictures,", f"path: strips, {more} {DEALT}"


@pytest.mark.slow
@pytest.mark.parametrize("view", ["squash", "pad"])
def test_a_defect_at_the_end_is_learned_from_whole_images(
    desk: Path, write_grid: WriteGrid, view: str
) -> None:
    epochs = ("epochs: 1", "epochs: 4")
    grid = write_grid("whole", of_strips(f"view: {view},"), ONE_ARM, epochs)
    result = CliRunner().invoke(app, ["run", str(grid), "--workers", "1"])
    assert result.exit_code == 0, result.output + str(result.exception)
    readme = (desk / "reports" / "whole" / "README.md").read_text()
    words = {"squash": "squashed to a square", "pad": "on a grey square"}
    assert f"(whole images{',' if view == 'squash' else ''} {words[view]})" in readme
    assert "of the pixels are cut away" not in readme

    # a photograph at the desk is seen as the test images were
    study = ablate.open_study("whole")
    stored = study.predictions()
    test = stored[stored["split"] == "test"]
    files = [desk / "data" / "strips" / image_id for image_id in test["image_id"]]
    asked = study.champion.predict(files)
    columns = [name for name in test.columns if name.startswith("p/")]
    found = asked[columns].to_numpy()
    np.testing.assert_allclose(found, test[columns].to_numpy(), atol=1e-4)


@pytest.mark.slow
def test_the_middle_square_sees_no_defect_and_the_report_says_so(
    desk: Path, write_grid: WriteGrid
) -> None:
    grid = write_grid("middle", of_strips(""), ONE_ARM)
    result = CliRunner().invoke(app, ["run", str(grid), "--workers", "1"])
    assert result.exit_code == 0, result.output + str(result.exception)
    readme = (desk / "reports" / "middle" / "README.md").read_text()
    # a quarter of an image is its middle square, of whose side the backbone sees 0.95
    assert "**Networks see 22 % of the pixels:**" in readme
    assert "| images | 160 x 40 pixels; longer side over shorter 4.00 |" in readme
    assert (
        "| seen of an image | 22 % of its pixels in val and test; what lies outside counts"
        in readme
    )


@pytest.mark.parametrize(
    ("more", "seen"),
    [
        (
            "",
            "warning: seen: val and test show networks 22 % of an image's pixels, its middle; "
            "view: pad or view: squash shows whole images",
        ),
        ("crop_share: 1,", "warning: seen: val and test show networks 25 % of an image's pixels"),
        ("view: pad,", "seen: val and test show networks 100 % of an image's pixels\n"),
    ],
)
def test_a_plan_says_how_large_images_are_and_what_is_seen_of_them(
    write_grid: WriteGrid, more: str, seen: str
) -> None:
    grid = write_grid("seen", of_strips(more), ONE_ARM)
    result = CliRunner().invoke(app, ["plan", str(grid)])
    assert result.exit_code == 0, result.output
    assert "images: 160 x 40 pixels; longer side over shorter 4.00\n" in result.output
    assert seen in result.output.replace("whole \nimages", "whole images")
    assert ("warning: seen" in result.output) == seen.startswith("warning")


def test_a_crop_share_beside_whole_images_is_refused(write_grid: WriteGrid) -> None:
    grid = write_grid("both", of_strips("view: pad, crop_share: 0.9,"))
    result = CliRunner().invoke(app, ["plan", str(grid)])
    assert result.exit_code == 2
    assert "crop_share must be left out beside view: pad, which shows whole images" in result.output


def test_the_usual_view_changes_no_id(write_grid: WriteGrid) -> None:
    usual = ablate.plan(write_grid("usual", of_strips("")))
    padded = ablate.plan(write_grid("padded", of_strips("view: pad,")))
    shared = ablate.plan(write_grid("shared", of_strips("crop_share: 1,")))
    ids = []
    for made in (usual, padded, shared):
        ids.append({trial.trial_id for trial in made.resolved.trials})
    assert "view" not in usual.resolved.data.model_dump()
    assert not ids[0] & ids[1] and not ids[0] & ids[2] and not ids[1] & ids[2]
