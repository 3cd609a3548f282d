"""What is kept is compared with what was written; dark pictures and stacks are said.

Lost pictures cost no report.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from ablate.cli import app
from ablate.data.build_store import build_store
from ablate.data.dataset import load_data
from ablate.data.duplicates import near_duplicates
from ablate.data.store import open_store
from ablate.errors import StoreError
from ablate.study.trial import DataSpec
from ablate.tracking import mlflow_store
from ablate.tracking.mlflow_store import MlflowStore
from ablate.training.feeds.activations import ActivationCache, cache_key
from ablate.training.feeds.rows import CacheUse, View
from ablate.workflow.after.pictures import made_or_kept

WriteGrid = Callable[..., Path]
ONE_ARM = (("[all, -1]", "[all]"), ("[1.0e-3, 1.0e-2]", "[1.0e-3]"))


def _called(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    assert "Traceback" not in result.output and (
        result.exception is None or isinstance(result.exception, SystemExit)
    ), result.exception
    return result.exit_code, result.output.replace("\n", " ")


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 2
    path.write_bytes(data)


def _keep_view(folder: Path, number: int) -> Path:
    """An entry of the activation cache, as a trial leaves it."""
    rows = torch.full((4, 3), float(number))
    view = View(
        {"n": number}, ("norm",), lambda: iter([(rows,)]), lambda *_: iter(()), frozenset({0})
    )
    ActivationCache(folder, 1.0).rows(view, CacheUse())
    return folder / cache_key({"n": number}, split_point="norm")


def test_what_is_kept_is_verified_and_what_is_damaged_is_dropped_on_request(desk: Path) -> None:
    assert _called("cache", "verify") == (0, "0 image stores and 0 views: all are intact ")
    data_set = load_data(
        DataSpec(source="folder", path="pictures"), data_dir=desk / "data", allow_fallback=False
    )[1]
    stores = [
        build_store(data_set, home=desk / "home", side=side, interpolation="bicubic").path
        for side in (8, 9)
    ]
    for path in stores:
        near_duplicates(open_store(path))
    views = [_keep_view(desk / "home/activations", number) for number in range(3)]
    assert _called("cache", "verify") == (0, "2 image stores and 3 views: all are intact ")
    _flip(stores[0] / "val.npy")
    _flip(stores[1] / "near_duplicates_v1.json")
    _flip(views[0] / "rows.bin")
    (views[1] / "meta.json").write_text("[]")
    for options in ((), ("--remove",)):
        code, out = _called("cache", "verify", *options)
        assert code == 1
        assert (
            f"damaged: {stores[0]}: an image store must hold what was written, val.npy of "
            f"{stores[0]} does not; remove the folder" in out
        )
        assert f"damaged: {stores[1]}: " in out
        assert f"damaged: {views[0]}: its digest does not match" in out
        assert f"damaged: {views[1]}: it holds no object" in out
        end = (
            "removed; studies make them again"
            if options
            else "`ablate cache verify --remove` removes them, and studies make them again"
        )
        assert f"2 image stores and 3 views: 4 damaged; {end}" in out
        assert stores[0].is_dir() == views[0].is_dir() == (not options)
    assert _called("cache", "verify") == (0, "0 image stores and 1 views: all are intact ")


@pytest.mark.parametrize(
    "meta", ["", "[]", "{}", '{"identity": []}', '{"identity": {"policy": 3, "seed": 0}}']
)
def test_a_damaged_entry_is_listed_as_one(desk: Path, meta: str) -> None:
    entry = desk / "home/activations/0"
    entry.mkdir(parents=True)
    (entry / "rows.bin").write_bytes(b"1234")
    (entry / "meta.json").write_text(meta)
    code, out = _called("cache", "list")
    assert code == 0
    assert "damaged" in out and "1 views" in out


def _darken(root: Path) -> None:
    """Make all pictures a quarter as bright, and two of them stacks of two pages."""
    for path in sorted(root.rglob("*.png")):
        dark = Image.fromarray(np.asarray(Image.open(path)) // 4)
        dark.save(path)
    for number in range(2):
        dark.save(root / f"train/red/stack{number}.tif", save_all=True, append_images=[dark])


def test_ordinary_pictures_are_not_warned_of(desk: Path, write_grid: WriteGrid) -> None:
    code, out = _called("plan", str(write_grid("bright", *ONE_ARM)))
    assert (code, "warning: the brightest" in out, "several frames" in out) == (0, False, False)


@pytest.mark.slow
def test_dark_pictures_and_stacks_are_said_and_small_images_that_cannot_be_kept_cost_no_report(
    desk: Path,
    write_grid: WriteGrid,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tracking_uri: str,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    _darken(desk / "data/pictures")
    grid = str(write_grid("dark", *ONE_ARM))
    way = (
        "if they are not meant to be so dark (masks, 12 bits kept in 16, values from 0 to 1), "
        "scale them, all by the same factor"
    )
    code, out = _called("plan", grid)
    assert code == 0
    assert f"warning: the brightest pixel of 16 images looked at is 47 of 255; {way}" in out
    assert "data: 2 files have several frames or pages; the first of each is used" in out
    monkeypatch.setattr(mlflow_store, "write_thumbnails", full)
    with caplog.at_level(logging.WARNING):
        code, out = _called("run", grid)
        assert code == 0, out
        level = MlflowStore(tracking_uri, "dark").read_study("dark").record.data.brightest
        assert level is not None and 30 < level < 60  # what resizing leaves of 47
        assert f"warning: the brightest pixel of all images is {level} of 255; {way}" in out
    said = [
        record.getMessage() for record in caplog.records if "small images" in record.getMessage()
    ]
    assert "must take its small images, it did not: " in said[0]
    assert said[0].endswith(
        "[Errno 28] No space left on device; they are shown, and not kept for later reports"
    )
    assert (desk / "reports/dark/README.md").is_file()


def test_small_images_that_cannot_be_read_cost_no_report(
    desk: Path, tracking_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = MlflowStore(tracking_uri, "none")
    with caplog.at_level(logging.WARNING):
        assert made_or_kept(store, "0", None)([("val", "a")]) == {}
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("the small images of the study's run 0 must be readable, they are not: ")
    assert said.endswith("; the report has none")


def test_an_image_store_that_is_gone_costs_no_report(
    desk: Path, tracking_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    def take(_: object) -> dict[tuple[str, str], np.ndarray]:
        raise StoreError("an image store must be whole, it is not.")

    with caplog.at_level(logging.WARNING):
        assert made_or_kept(MlflowStore(tracking_uri, "none"), "0", take)([("val", "a")]) == {}
    assert [record.getMessage() for record in caplog.records] == [
        "an image store must be whole, it is not.; the report has none"
    ]
