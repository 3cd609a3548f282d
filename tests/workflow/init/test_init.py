"""`ablate init` on the two layouts that developers make: every planted trap is named.

What it writes is planned and run as it stands, but for the size of the work.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image
from support.drawn_folders import N_PARTS, draw_leaves, draw_tiles
from typer.testing import CliRunner

from ablate.cli import app
from ablate.data.square import square
from ablate.grid.parse import load_grid
from ablate.study.image_rule import found_in_path
from ablate.workflow import grid_names

SMALL = (
    "base.backbone=test_efficientnet",
    "base.weights=none",
    "base.epochs=1",
    "data.image_size=32",
    "axes.freeze_depth=[all, -1]",
    "seeds=[0]",
)
"""The same grid in seconds."""
LEISURE = ("--minutes", "6000")
"""So that what is proposed does not depend on how fast this computer is."""


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, away from the images, with a home of its own."""
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ABLATE_DATA", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(grid_names, "packaged_grids", lambda: tmp_path / "no examples")
    return tmp_path


def init(folder: Path) -> Any:
    """The document that `ablate init` prints."""
    result = CliRunner().invoke(app, ["init", str(folder), *LEISURE, "--json"])
    assert result.exit_code == 0, result.output + str(result.exception)
    return json.loads(result.stdout)


def traps_of(document: Any) -> dict[str, str]:
    """Kind -> what is said."""
    return {trap["kind"]: trap["text"] for trap in document["traps"]}


def test_tiles_with_masks_beside_them(desk: Path) -> None:
    document = init(draw_tiles(desk / "tiles"))
    assert document["layout"] == "class folders"
    assert document["class_names"] == ["MT_Blowhole", "MT_Crack", "MT_Fray", "MT_Free"]
    traps = traps_of(document)
    assert list(traps) == [
        "masks",
        "damaged",
        "classes too small",
        "tiny classes in test",
        "cut by the view",
    ]
    assert traps["masks"] == (
        "212 of 425 images are masks of others, for example "
        "MT_Blowhole/Imgs/exp1_num_113843.png: they are left out (70 of 212 that were read are "
        "empty; those that mark something cover 0.6% of an image)"
    )
    assert traps["damaged"] == (
        "1 image cannot be read, left out: an image must be a whole JPEG, PNG, BMP, GIF, TIFF, "
        "WebP or PPM file, got a damaged one: MT_Free/Imgs/exp1_num_400001.jpg; replace or "
        "remove it."
    )
    assert traps["classes too small"] == (
        "1 class of fewer than 3 images: left out (MT_Uneven), since train, val and test need "
        "one each"
    )
    assert traps["cut by the view"] == (
        "the usual view: crop shows val and test 23% of the pixels; view: pad shows all of them"
    )
    comments = " ".join((desk / "tiles.yaml").read_text().replace("\n#", "").split())
    for kind, text in traps.items():
        assert f"- {kind}: {text}" in comments


def test_the_parts_of_tiles_are_found(desk: Path) -> None:
    root = draw_tiles(desk / "tiles")
    document = init(root)
    grid = yaml.safe_load((desk / "tiles.yaml").read_text())
    rule = grid["data"]["group_by"]
    assert rule == r"num_([0-9]+)\."
    assert sum(document["n_groups"].values()) == sum(N_PARTS.values())
    photos = [path.as_posix() for path in root.glob("MT_[BCF]*/Imgs/exp*_num_[1-3]*.jpg")]
    parts = {path.partition("num_")[2] for path in photos}
    assert {f"{found_in_path(rule, path)}.jpg" for path in photos} == parts


def test_nearly_all_defect_pixels_are_seen_as_init_proposes(desk: Path) -> None:
    root = draw_tiles(desk / "tiles")
    init(root)
    data = load_grid(desk / "tiles.yaml").data
    n_defect = 0
    n_seen = 0
    n_cropped = 0
    for file in sorted(root.glob("MT_*/Imgs/*.png")):
        mask = np.asarray(Image.open(file)) > 0
        n_defect += int(np.count_nonzero(mask))
        n_seen += n_seen_pixels(mask, view=data.view, side=data.image_size)
        n_cropped += n_seen_pixels(mask, view="crop", side=data.image_size)
    assert n_defect > 4_000
    assert n_seen >= 0.99 * n_defect
    # The test can tell: with the usual view, most of them are cut away.
    assert n_cropped < 0.5 * n_defect


def n_seen_pixels(mask: NDArray[np.bool_], *, view: Any, side: Any) -> int:
    """How many marked pixels of a mask are in the square that a network sees.

    Each pixel carries its own place as its colour, and the square is larger than the image, so
    that none is lost to its neighbours.
    """
    rows, columns = np.indices(mask.shape)
    assert max(mask.shape) < min(side, 256)
    places = np.stack([rows, columns, np.full(mask.shape, 255)], axis=2).astype(np.uint8)
    shown = square(
        Image.fromarray(places), side=side, resample=Image.Resampling.NEAREST, view=view
    ).reshape(-1, 3)
    # The grey beside a padded image has another third channel.
    own = shown[shown[:, 2] == 255]
    seen = np.zeros(mask.shape, dtype=bool)
    seen[own[:, 0], own[:, 1]] = True
    return int(np.count_nonzero(seen & mask))


def test_leaves_with_masks_and_a_table(desk: Path) -> None:
    document = init(draw_leaves(desk / "leaves"))
    assert document["layout"] == "images with a table"
    assert document["evidence"] == (
        "leaves.csv: images in column Photo, labels in Disease, splits in Subset"
    )
    traps = traps_of(document)
    assert list(traps) == [
        "masks",
        "missing files",
        "images without a label",
        "groups across splits",
        "tiny classes in test",
        "one class for nearly all",
        "few groups in test",
        "classes of few groups in test",
        "near-duplicates across splits",
        "cut by the view",
    ]
    assert traps["groups across splits"] == (
        "40 of 46 groups (column plant_id) stand on two sides of the folder's own splits (P000, "
        "P001, P002, P003, P004 and 35 more), which flatters every score: its splits are not "
        "used, and all three are drawn with whole groups"
    )
    assert traps["missing files"] == (
        "1 row of files that are not here, for example IMG_9999.jpg: left out"
    )
    assert traps["images without a label"] == (
        "1 image in no row, for example images/IMG_8888.jpg: left out"
    )
    assert traps["one class for nearly all"] == (
        "90% of the images are of healthy: always saying so has an accuracy of 0.90; judge by "
        "macro F1 and by class"
    )
    assert (
        "pairs of (nearly) equal images on two sides of the split"
        in (traps["near-duplicates across splits"])
    )
    lines = (desk / "leaves.csv").read_text().splitlines()
    assert lines[:2] == ["file,label,plant_id", "leaves/images/IMG_0000.jpg,blight,P000"]


@pytest.mark.slow
@pytest.mark.parametrize("draw", [draw_tiles, draw_leaves])
def test_what_is_written_can_be_planned_run_and_read(desk: Path, draw: Any) -> None:
    root = draw(desk / "images")
    init(root)
    grid = str(desk / "images.yaml")
    settings = [word for setting in SMALL for word in ("--set", setting)]
    planned = CliRunner().invoke(app, ["plan", grid, *settings])
    assert planned.exit_code == 0, planned.output + str(planned.exception)
    assert "none on two sides" in planned.output
    words = ["run", grid, *settings, "--executor", "inline", "--threads", "1", "--json"]
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 0, ran.output + str(ran.exception)
    document = json.loads(ran.stdout)
    assert document["is_complete"]
    readme = Path(document["report"]["readme"]).read_text()
    assert readme.count("Which way of transferring a pretrained network works on the ") >= 1
    counts = Counter(arm["n_seeds"] for arm in document["arms"])
    assert counts[1] >= 2
