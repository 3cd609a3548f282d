"""`ablate init` on folders that nobody would make on purpose: a sentence, and never a traceback."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from ablate.cli import app
from ablate.data.dataset import load_data
from ablate.workflow.requests import request


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ABLATE_DATA", raising=False)
    return tmp_path


def draw(root: Path, *names: str, size: tuple[int, int] = (24, 24)) -> None:
    """Small images that are all different. `size` is (height, width)."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(name.encode()))
        pixels = rng.integers(0, 255, size=(*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)


def two_classes(root: Path, *, n: int = 10, top: str = "") -> None:
    draw(root, *(f"{top}{name}/{i}.png" for name in ("cat", "dog") for i in range(n)))


def init(*words: str) -> Any:
    result = CliRunner().invoke(app, ["init", *words, "--json"])
    assert result.exit_code == 0, result.output + str(result.exception)
    return json.loads(result.stdout)


def refused(*words: str) -> str:
    result = CliRunner().invoke(app, ["init", *words])
    assert result.exit_code == 2, result.output + str(result.exception)
    return result.stderr.removeprefix("error: ").rstrip()


def kinds(document: Any) -> list[str]:
    return [trap["kind"] for trap in document["traps"]]


def loads(grid: str) -> dict[str, int]:
    """Images of each split, as `plan` finds them."""
    asked = request(grid)
    assert asked.data_dir is not None
    _, data = load_data(
        asked.grid.data, data_dir=asked.data_dir, allow_fallback=False, task=asked.grid.task
    )
    return dict(data.facts.n_images)


def test_no_folder(desk: Path) -> None:
    (desk / "a.txt").write_text("hello")
    for name in ("nothing", "a.txt"):
        assert refused(name) == (
            f"FOLDER must be a folder that holds images, got '{name}', which is none."
        )


def test_an_empty_folder(desk: Path) -> None:
    (desk / "empty").mkdir()
    assert refused("empty") == (
        "FOLDER must hold images, empty holds none that can be read, it is empty; give the folder "
        "that the images lie in."
    )


def test_a_folder_of_other_files(desk: Path) -> None:
    (desk / "notes").mkdir()
    (desk / "notes" / "a.txt").write_text("hello")
    (desk / "notes" / "b.heic").write_bytes(b"x")
    assert refused("notes") == (
        "FOLDER must hold images, notes holds none that can be read but 1 other file, images "
        "of kinds that cannot be read here (1); give the folder that the images lie in."
    )


def test_a_folder_of_shards(desk: Path) -> None:
    (desk / "my shards").mkdir()
    (desk / "my shards" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    assert refused("my shards") == (
        "FOLDER must hold image files, my shards holds 1 .parquet file, which source: parquet "
        "reads as they are: `ablate advise` on the same folder says what to set, and a grid file "
        'beside it has data: {source: parquet, path: "./my shards"}.'
    )


def test_one_class(desk: Path) -> None:
    draw(desk, "images/cat/1.png", "images/cat/2.png")
    assert refused("images").startswith("the images of FOLDER must have labels, 2 images")


def test_nothing_is_written_over(desk: Path) -> None:
    two_classes(desk / "images")
    (desk / "images.yaml").write_text("mine")
    assert refused("images") == (
        f"init writes over no file, {desk / 'images.yaml'} is there already; give another --out, "
        "or --force to replace it."
    )
    assert (desk / "images.yaml").read_text() == "mine"
    init("images", "--force")
    assert yaml.safe_load((desk / "images.yaml").read_text())["data"]["path"] == "./images"


def test_a_table_of_ones_own_is_never_written_over(desk: Path) -> None:
    two_classes(desk / "images")
    (desk / "images" / "cat" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (desk / "images.csv").write_text("mine")
    assert refused("images", "--force") == (
        f"init writes over no file, {desk / 'images.csv'} is there already; give another --out, "
        "or move it away."
    )
    (desk / "images.csv").unlink()
    init("images")
    init("images", "--force")
    assert (desk / "images.csv").read_text().startswith("file,label\n")


def test_a_table_beside_the_folder_is_named(desk: Path) -> None:
    draw(desk / "train", "IMG_1.jpg", "IMG_2.jpg")
    (desk / "train.csv").write_text("id,label\nIMG_1,cat\nIMG_2,dog\n")
    assert refused("train").endswith(
        "(columns file, label); train.csv lies beside the folder: if it names them, give the "
        "folder above."
    )


def test_class_folders_are_read_as_they_are(desk: Path) -> None:
    two_classes(desk / "my images")
    document = init("my images")
    assert document["table"] is None
    assert document["grid"] == str(desk / "my_images.yaml")
    assert loads("my_images.yaml") == {"train": 12, "val": 4, "test": 4}
    # From any folder, and without --data-dir.
    os.chdir("/")
    assert loads(str(desk / "my_images.yaml")) == {"train": 12, "val": 4, "test": 4}


def test_a_grid_file_elsewhere(desk: Path) -> None:
    two_classes(desk / "images")
    document = init("images", "--out", "grids/first.yaml")
    assert document["commands"] == [
        "ablate plan grids/first.yaml --data-dir .",
        "ablate run grids/first.yaml --data-dir .",
    ]
    assert yaml.safe_load((desk / "grids" / "first.yaml").read_text())["data"]["path"] == "images"
    assert refused("images", "--out", "first.txt") == (
        "--out must be a file that ends in .yaml or .yml, got 'first.txt'"
    )


def test_a_table_beside_the_images_is_said_before(desk: Path) -> None:
    two_classes(desk / "images", n=40)
    (desk / "images" / "cat" / "0.png").write_bytes(b"no image")
    result = CliRunner().invoke(app, ["init", "images", "--out", "grids/first.yaml"])
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    table = said.index("the table of images goes beside them, not beside the grid file: ")
    assert table < said.index("task: classification")
    assert (desk / "first.csv").is_file()


def test_a_grid_file_among_the_images(desk: Path) -> None:
    two_classes(desk / "images")
    init("images", "--out", "images/first.yaml")
    assert loads("images/first.yaml") == {"train": 12, "val": 4, "test": 4}


def test_train_and_val_without_test(desk: Path) -> None:
    two_classes(desk / "images", n=20, top="train/")
    draw(desk / "images", *(f"val/{name}/v{i}.png" for name in ("cat", "dog") for i in range(5)))
    document = init("images")
    assert kinds(document)[0] == "missing splits"
    assert document["traps"][0]["text"] == (
        "the folder has no test: part of its train is set aside as test (data.fractions), and no "
        "network is trained on it"
    )
    assert document["table"] is None
    assert loads("images.yaml") == {"train": 30, "val": 10, "test": 10}


def test_a_class_that_test_lacks(desk: Path) -> None:
    for name in ("cat", "dog", "owl"):
        draw(desk / "images", *(f"train/{name}/{i}.png" for i in range(6)))
        draw(desk / "images", *(f"val/{name}/v{i}.png" for i in range(4)))
    draw(desk / "images", *(f"test/{name}/t{i}.png" for name in ("cat", "dog") for i in range(12)))
    draw(desk / "images", "test/owl/notes.png")
    (desk / "images" / "test" / "owl" / "notes.png").unlink()
    document = init("images")
    texts = {trap["kind"]: trap["text"] for trap in document["traps"]}
    assert texts["classes absent from test"] == (
        "test has no image of 1 class (owl): scores say nothing there"
    )
    grid = yaml.safe_load((desk / "images.yaml").read_text())
    assert "split_seed" not in grid["data"]
    assert loads("images.yaml") == {"train": 18, "val": 12, "test": 24}


def test_defects_in_test_alone(desk: Path) -> None:
    draw(desk / "bottle", *(f"train/good/{i}.png" for i in range(12)))
    draw(desk / "bottle", *(f"test/{n}/t{i}.png" for n in ("good", "broken") for i in range(6)))
    draw(desk / "bottle", *(f"ground_truth/broken/t{i}_mask.png" for i in range(6)))
    document = init("bottle")
    assert kinds(document)[:2] == ["masks", "classes without train images"]
    assert document["traps"][1]["text"] == (
        "train has no image of 1 class (broken): the folder's splits are not used, and all three "
        "are drawn"
    )
    assert loads("bottle.yaml") == {"train": 14, "val": 5, "test": 5}


def test_a_class_whose_test_images_show_one_part(desk: Path) -> None:
    ok = [f"ok/part{part}_{shot}.png" for part in range(20) for shot in range(5)]
    bad = [f"bad/part{part}_{shot}.png" for part in range(30, 34) for shot in range(12)]
    draw(desk / "images", *ok, *bad)
    document = init("images")
    (trap,) = [x for x in document["traps"] if x["kind"] == "classes of few groups in test"]
    assert trap["text"] == (
        "the test images of 1 class come from fewer than 3 groups (bad 1): their scores, and "
        "macro F1, are those of so many cases, and intervals are too narrow there"
    )


def test_one_image_in_two_classes(desk: Path) -> None:
    two_classes(desk / "images")
    image = (desk / "images" / "cat" / "3.png").read_bytes()
    (desk / "images" / "dog" / "30.png").write_bytes(image)
    document = init("images")
    (trap,) = [one for one in document["traps"] if one["kind"] == "one image, two labels"]
    assert trap["text"] == (
        "1 pair of (nearly) equal images with different labels, for example cat/3.png (cat) and "
        "dog/30.png (dog): look at them; a label is wrong, or what tells them apart is small"
    )


def test_names_that_are_not_utf8_and_links(desk: Path) -> None:
    two_classes(desk / "images")
    (desk / "images" / "cat" / os.fsdecode(b"fa\xe7ade.png")).write_bytes(b"x")
    (desk / "images" / "dog" / "again").symlink_to(desk / "images")
    (desk / "images" / "dog" / "dead.png").symlink_to("nowhere.png")
    (desk / "images" / "dog" / "empty.png").touch()
    document = init("images")
    assert kinds(document)[:3] == ["left out"] * 3
    assert [trap["text"] for trap in document["traps"][:3]] == [
        "names that are not UTF-8: 1 left out (cat/fa\\xe7ade.png); rename them",
        "links that lead nowhere, in a circle or out of the folder: 2 left out (dog/again, "
        "dog/dead.png); copy the files",
        "empty files: 1 left out (dog/empty.png); fetch them again",
    ]
    assert loads("images.yaml") == {"train": 12, "val": 4, "test": 4}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read(desk: Path) -> None:
    two_classes(desk / "images")
    (desk / "images" / "cat" / "closed").mkdir(mode=0)
    assert kinds(init("images"))[0] == "left out"


def test_images_with_several_labels(desk: Path) -> None:
    names = [f"{i}.png" for i in range(40)]
    draw(desk / "images", *names)
    rows = [f"{name},{'a;b' if i % 4 == 0 else 'ab'[i % 2]}" for i, name in enumerate(names)]
    (desk / "images" / "truth.csv").write_text("\n".join(["file,tags", *rows]))
    document = init("images")
    assert document["task"] == "multilabel"
    assert loads("images.yaml") == {"train": 24, "val": 8, "test": 8}


def test_groups_of_a_folder_level_count_from_the_table(desk: Path) -> None:
    for session in range(12):
        name = ("cat", "dog")[session % 2]
        draw(desk / "images", *(f"{name}/session{session}/{i}.png" for i in range(4)))
    (desk / "images" / "cat" / "session0" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    init("images")
    assert yaml.safe_load((desk / "images.yaml").read_text())["data"]["group_by"] == {"level": 3}
    assert sum(loads("images.yaml").values()) == 48


def test_a_folder_that_is_called_as_its_parts_are(desk: Path) -> None:
    for part in range(12):
        name = ("cat", "dog")[part % 2]
        draw(desk / "part7_set", *(f"{name}/part{part}_{i}.png" for i in range(4)))
    (desk / "part7_set" / "cat" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    document = init("part7_set")
    assert sum(document["n_groups"].values()) == 12
    assert sum(loads("part7_set.yaml").values()) == 48


def test_several_paths_that_count_from_the_grid_file(desk: Path) -> None:
    two_classes(desk / "images")
    init("images")
    draw(desk / "more", "cat/30.png", "dog/30.png")
    grid = desk / "images.yaml"
    text = grid.read_text()
    grid.write_text(text.replace("path: ./images\n", "paths: [./images, ./more]\n"))
    os.chdir("/")
    assert sum(loads(str(grid)).values()) == 22
    grid.write_text(text.replace("path: ./images\n", "paths: [./images, more]\n"))
    assert request(str(grid)).data_dir is None


def test_a_path_that_counts_from_the_grid_file_goes_before_the_data_folder(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_classes(desk / "images")
    init("images")
    two_classes(desk / "elsewhere" / "images", n=30)
    monkeypatch.setenv("ABLATE_DATA", str(desk / "elsewhere"))
    planned = CliRunner().invoke(app, ["plan", "images.yaml", "--json"])
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.stdout)["data"]["class_counts"]["train"] == [6, 6]
    options = ["--data-dir", "elsewhere", "--json"]
    planned = CliRunner().invoke(app, ["plan", "images.yaml", *options])
    assert json.loads(planned.stdout)["data"]["class_counts"]["train"] == [18, 18]
