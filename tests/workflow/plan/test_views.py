"""A contact sheet shows what a trial's network would be shown, pixel by pixel.

And nothing that no arm asks for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from ablate.cli import app
from ablate.data.augment import clean, views
from ablate.data.store import ImageStore, open_store
from ablate.errors import StoreError
from ablate.grid.parse import load_grid
from ablate.model.backbone import preprocessing_of
from ablate.study.request import Compute
from ablate.targets import OneLabel, SeveralLabels
from ablate.training.feeds.batches import ImageFeed
from ablate.training.feeds.sampling import every_image
from ablate.workflow.folders import find_folders
from ablate.workflow.plan.augmented_views import (
    SheetRequest,
    describe,
    read_policy,
    shown_policies,
    spread,
    take_sheet,
)
from ablate.workflow.plan.contact_sheet import (
    BACKGROUND,
    MAX_LABEL,
    Group,
    Sheet,
    draw_sheet,
    layout,
    write_sheet,
)
from ablate.workflow.prepare.resolved import Resolved, resolve

WriteGrid = Callable[..., Path]
AXIS = "  head_lr: [1.0e-3, 1.0e-2]"
AUGMENTED = (("[0]", "[7, 8]"), (AXIS, f"{AXIS}\n  augment: [none, light]"))


def _invoke(grid: Path, *options: str) -> Result:
    result = CliRunner().invoke(app, ["views", str(grid), *options])
    assert "Traceback" not in result.output
    return result


def _resolved(grid: Path) -> Resolved:
    return resolve(load_grid(grid), find_folders(), seeds=None, allow_fallback=True, command="")


def _sheet(grid: Path, sheet_request: SheetRequest) -> Sheet:
    return take_sheet(
        _resolved(grid), sheet_request, home=find_folders().home, on_progress=lambda *_: None
    )


def _store(home: Path) -> ImageStore:
    (meta,) = home.glob("images/*/meta.json")
    return open_store(meta.parent)


def _tiles(png: Path, sheet: Sheet) -> list[NDArray[np.uint8]]:
    """The tiles of each group as they are in a sheet's file: (rows, columns, side, side, 3)."""
    with Image.open(png) as picture:
        pixels, places, side = np.asarray(picture), layout(sheet), sheet.groups[0].tiles.shape[2]
    assert pixels.shape == (*places.size[::-1], 3)
    return [
        np.stack(
            [
                [pixels[top : top + side, left : left + side] for left in lefts]
                for top in places.tops
            ]
        )
        for lefts in places.lefts
    ]


def test_every_tile_is_the_view_that_a_trial_trains_on(desk: Path, write_grid: WriteGrid) -> None:
    grid, out = write_grid("sheet", *AUGMENTED), desk / "made" / "sheet.png"
    said = _invoke(
        grid,
        "--policy",
        "strong",
        "--policy",
        "none flip=vertical",
        "--images",
        "4",
        "--epochs",
        "3",
        "--out",
        str(out),
    )
    assert said.exit_code == 0, said.output + str(said.exception)
    assert (
        f"views: {out} (4 train images, clean and under light, strong, none flip=vertical in 3 "
        "epochs)" in said.stdout
    )
    sheet = _sheet(
        grid, SheetRequest((read_policy("strong"), read_policy("none flip=vertical")), 4, 3)
    )
    assert sheet.rows == ("green", "green", "red", "red")
    store, wanted = _store(desk / "home"), preprocessing_of("test_efficientnet", image_size=32)
    train, rows = store.split("train"), [0, 1, 8, 9]
    assert train.fine is not None and [
        store.class_names[train.labels[row]] for row in rows
    ] == list(sheet.rows)
    feed = ImageFeed(
        train,
        wanted,
        Compute(device="cpu", precision="fp32", channels_last=False, threads=1),
        every_image(train.labels),
    )

    first, *others = _tiles(out, sheet)
    assert np.array_equal(
        first[:, 0], clean(train.images, rows, image_size=32).permute(0, 2, 3, 1).numpy()
    )
    for policy, tiles in zip(("light", "strong", "none flip=vertical"), others, strict=True):
        for epoch in range(3):
            drawn = views(
                train.images,
                rows,
                policy=policy,
                image_size=32,
                interpolation=wanted.interpolation,
                seed=7,
                epoch=epoch,
                fine=train.fine,
            )
            assert np.array_equal(tiles[:, epoch], drawn.permute(0, 2, 3, 1).numpy()), (
                policy,
                epoch,
            )
            (fed,) = feed.view(policy=policy, seed=7, epoch=epoch, batch_size=16)
            assert torch.equal(wanted.normalised(drawn), fed[rows])


@pytest.mark.slow
def test_a_run_finds_the_store_of_the_sheet_and_nothing_else_is_left(
    desk: Path, write_grid: WriteGrid, tmp_path: Path
) -> None:
    grid = write_grid("stored", *AUGMENTED)
    assert (
        f"views: {desk / 'home' / 'views' / 'stored.png'} (4 train"
        in _invoke(grid, "--images", "4").stdout
    )
    assert sorted(path.name for path in (desk / "home").iterdir()) == ["images", "views"]
    assert [path.name for path in (desk / "home" / "views").iterdir()] == ["stored.png"]
    before = _store(desk / "home").path
    run = CliRunner().invoke(
        app, ["run", str(grid), "--workers", "1", "--max-trials", "1", "--threads", "1"]
    )
    assert run.exit_code == 0, run.output
    assert _store(desk / "home").path == before


def test_the_same_sheet_has_the_same_bytes(
    desk: Path, write_grid: WriteGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, made = write_grid("again", *AUGMENTED), []
    for home in ("one", "other"):
        monkeypatch.setenv("ABLATE_HOME", str(desk / home))
        assert _invoke(grid).exit_code == 0
        made.append((desk / home / "views" / "again.png").read_bytes())
    assert made[0] == made[1]


def test_a_policy_stands_there_once_and_clean_images_are_no_policy(
    desk: Path, write_grid: WriteGrid
) -> None:
    asked = tuple(
        map(
            read_policy,
            ("light", "0.0", "none", "1", "0.4 erase=0", "1.0", "light flip=horizontal"),
        )
    )
    grid = write_grid("distinct", *AUGMENTED)
    assert [group.name for group in _sheet(grid, SheetRequest(asked)).groups] == [
        "clean",
        "light",
        "1.0",
        "0.4 erase=0.0",
    ]
    tuned = write_grid("tuned", (AXIS, "tune: {augment: [medium, augmix]}"))
    assert list(shown_policies(_resolved(tuned), ())) == ["medium", "augmix"]
    searched = write_grid(
        "searched",
        (
            AXIS,
            "  augment: {low: 0.1, high: 0.9}\n"
            "design: {search: {sampler: random, n_trials: 2, confirm: 1}}",
        ),
        ("baseline: {freeze_depth: all}\n", ""),
    )
    assert list(shown_policies(_resolved(searched), ())) == ["0.1", "0.9"]


def test_digits_are_not_mirrored_in_a_policy_that_is_asked_for_beside(
    desk: Path, write_grid: WriteGrid
) -> None:
    resolved = _resolved(write_grid("digits"))
    digits = replace(
        resolved, data=resolved.data.model_copy(update={"source": "torchvision:MNIST"})
    )
    assert list(shown_policies(digits, (read_policy("light"),))) == ["light flip=none"]


def test_what_is_not_on_the_sheet_is_said(desk: Path, write_grid: WriteGrid) -> None:
    grid = write_grid(
        "mixed",
        ("backbone: test_efficientnet, ", ""),
        (AXIS, "  backbone: [test_vit, test_efficientnet]\n  mixup: [0.0, 0.4]"),
    )
    said = _invoke(grid, "--images", "3")
    assert said.exit_code == 0, said.output
    assert said.stdout.splitlines()[-1].endswith(
        "(3 train images, clean; no arm varies them; --policy light would show what that does; "
        "for test_efficientnet, one of 2 backbones; "
        "--backbone chooses (test_efficientnet, test_vit); mixing (mixup) is not shown)"
    )
    resolved, sheet_request = _resolved(grid), SheetRequest(backbone="test_vit")
    sheet = take_sheet(resolved, sheet_request, home=desk / "home", on_progress=lambda *_: None)
    assert sheet.title == "mixed: train images of folder, seed 0, 32 px for test_vit"
    assert "for test_vit, one of 2 backbones" in describe(resolved, sheet_request, sheet)


def test_rows_of_several_labels_name_all_of_them(desk: Path, write_grid: WriteGrid) -> None:
    folder, labels = desk / "data" / "several", ("red", "green;red", "")
    folder.mkdir()
    for number in range(24):
        Image.new("RGB", (40, 44), (number, 0, 0)).save(folder / f"{number}.png")
    lines = [f"{number}.png,{labels[number % 3]}" for number in range(24)]
    (folder / "labels.csv").write_text("\n".join(["image,labels", *lines]))
    splits = "path: several, split_seed: 0, fractions: {train: 0.5, val: 0.25, test: 0.25}"
    sheet = _sheet(
        write_grid("several", ("classification", "multilabel"), ("path: pictures", splits)),
        SheetRequest(n_images=3),
    )
    assert sheet.rows == ("green, red", "red", "no label")


POLICY = (
    "error: --policy must be one of none, light, medium, strong, randaugment, trivialaugment, "
    "augmix, or a strength from 0 to 1, "
    "with flip=, color_jitter= or erase= behind it where they are wanted, got "
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--policy", "strong", "--policy", "lihgt"), POLICY + "'lihgt'; did you mean 'light'?"),
        (("--policy", "1.5"), POLICY + "'1.5'"),
        (("--policy", "inf"), POLICY + "'inf'"),
        (("--policy", ""), POLICY + "''"),
        (("--policy", "light flip=up"), POLICY + "'light flip=up'"),
        (("--policy", "light mixup=0.2"), POLICY + "'light mixup=0.2'"),
        (("--policy", "light flip"), POLICY + "'light flip'"),
        (
            ("--backbone", "test_efficient"),
            "error: --backbone must be a backbone of the grid (test_efficientnet), got "
            "'test_efficient'; did you mean 'test_efficientnet'?",
        ),
        (("--out", "sheet.jpg"), "error: --out must be the path of a .png file, got sheet.jpg"),
        (
            ("--out", "there.png"),
            "error: --out must be the path of a .png file, got there.png, which is a folder",
        ),
        (
            ("--out", "file/sheet.png"),
            "error: file: must be a folder that can be written, got File exists; choose "
            "another one or free it",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_an_image_is_decoded(
    desk: Path, write_grid: WriteGrid, options: tuple[str, ...], message: str
) -> None:
    (desk / "there.png").mkdir()
    (desk / "file").write_text("")
    result = _invoke(write_grid("refused"), *options)
    assert (result.exit_code, result.stderr.strip()) == (2, message)
    assert not (desk / "home" / "images").exists()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 50))
def test_images_are_spread_evenly_over_the_classes(labels: list[int], n_images: int) -> None:
    array = np.array(labels)
    rows = spread(OneLabel(array, 6), n_images)
    assert len(set(rows)) == len(rows) == min(n_images, len(labels))
    assert rows == sorted(rows, key=lambda row: (labels[row], row))
    taken, there = Counter(array[rows].tolist()), Counter(labels)
    assert all(taken[one] == there[one] or taken[one] >= max(taken.values()) - 1 for one in there)


def test_images_of_several_labels_are_spread_too() -> None:
    labels = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 1]])
    assert spread(SeveralLabels(labels, 3), 4) == [0, 3, 5, 2]
    assert sorted(spread(SeveralLabels(labels, 3), 9)) == list(range(6))


def test_tiles_and_names_are_apart_however_small_and_long_they_are() -> None:
    black = np.zeros((2, 3, 8, 8, 3), dtype=np.uint8)
    captions = ("epoch 1", "epoch 2", "epoch 10")
    sheet = Sheet(
        "a title",
        ("a" * 300, "b"),
        (
            Group("clean", ("as in val",), black[:, :1]),
            Group("light color_jitter=0.25", captions, black),
        ),
    )
    places, pixels = layout(sheet), np.asarray(draw_sheet(sheet))
    corners = [(top, left) for top in places.tops for lefts in places.lefts for left in lefts]
    held = np.zeros(pixels.shape[:2], dtype=int)
    for top, left in corners:
        held[top : top + 8, left : left + 8] += 1
    assert (held.max(), held.sum()) == (1, 8 * 64)
    inked = (pixels != BACKGROUND).any(axis=2) & (held == 0)
    beside = inked[places.tops[0] : places.tops[0] + 8]
    assert beside.any() and not beside[:, places.lefts[0][0] :].any(), (
        "the name of a row runs into its tiles"
    )
    assert (
        not inked[:, :18].any() and not inked[:, -18:].any() and places.lefts[0][0] < MAX_LABEL + 40
    )


def test_a_disk_that_takes_no_file_is_named(tmp_path: Path) -> None:
    sheet = Sheet(
        "a title",
        ("a",),
        (Group("clean", ("as in val",), np.zeros((1, 1, 8, 8, 3), dtype=np.uint8)),),
    )
    path = tmp_path / "gone" / "sheet.png"
    with pytest.raises(StoreError) as refused:
        write_sheet(sheet, path)
    assert (
        str(refused.value)
        == f"{path}: must be a file that can be written, got No such file or directory; choose "
        "another one with --out"
    )
