from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ablate.data.dataset import load_data
from ablate.errors import DataError
from ablate.study.trial import DataSpec, Fractions, Sizes

PLANTS = DataSpec(source="folder", path="plants")
HALVES = Fractions(train=0.5, val=0.25, test=0.25)
SOURCE_WORDS = (
    "flowers102, rendered_flowers, textile, folder, parquet, webdataset, torchvision:<Name>"
)


def message_of(spec: DataSpec, data_dir: Path, *, allow_fallback: bool = True) -> str:
    with pytest.raises(DataError) as error:
        load_data(spec, data_dir=data_dir, allow_fallback=allow_fallback)
    return str(error.value)


def flat(data_dir: Path) -> None:
    """Leave only the class folders of train, as a folder without splits."""
    (data_dir / "plants" / "train").rename(data_dir / "flat")
    shutil.rmtree(data_dir / "plants")
    (data_dir / "flat").rename(data_dir / "plants")


def test_splits_labels_and_facts(plants: Path) -> None:
    resolved, data_set = load_data(PLANTS, data_dir=plants, allow_fallback=True)
    assert resolved == PLANTS
    assert set(data_set.splits) == {"train", "val", "test"}
    train = data_set.splits["train"]
    assert train.image_ids[:2] == ("train/fern/0.png", "train/fern/1.png")
    assert train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert train.labels.dtype == np.int64
    assert train.read(0).size == (24, 18)
    facts = data_set.facts
    assert (facts.class_names, facts.title, facts.origin, facts.split_rule) == (
        ("fern", "moss", "rose"),
        "plants",
        "data.path plants",
        "official",
    )
    assert facts.class_counts == {"train": (4, 4, 4), "val": (2, 2, 2), "test": (2, 2, 2)}
    assert not facts.is_fallback
    assert not facts.is_synthetic


def test_a_fallback_stands_in_for_what_is_missing(tmp_path: Path) -> None:
    spec = DataSpec(source="folder", path="plants", fallback="rendered_flowers", image_size=128)
    resolved, data_set = load_data(spec, data_dir=tmp_path, allow_fallback=True)
    assert resolved == DataSpec(source="rendered_flowers", image_size=128)
    assert (data_set.facts.source, data_set.facts.requested_source, data_set.facts.is_fallback) == (
        "rendered_flowers",
        "folder",
        True,
    )


def test_a_fallback_can_be_refused(tmp_path: Path) -> None:
    spec = DataSpec(source="folder", path="plants", fallback="rendered_flowers")
    assert message_of(spec, tmp_path, allow_fallback=False) == (
        f"data.path must be a folder or a CSV file below the data folder {tmp_path}, got 'plants', "
        f"which does not exist"
        "; the data folder is set by --data-dir (make: DATA_DIR=...) or ABLATE_DATA. The declared "
        "fallback rendered_flowers was not allowed."
    )


def test_a_fallback_does_not_hide_what_is_broken(plants: Path) -> None:
    for path in (plants / "plants").glob("*/rose/*"):
        path.unlink()
    spec = PLANTS.model_copy(update={"fallback": "rendered_flowers"})
    assert message_of(spec, plants).startswith("every class must have at least one image")


def test_a_missing_folder(tmp_path: Path) -> None:
    assert message_of(PLANTS, tmp_path / "nowhere") == (
        f"data.path must be a folder or a CSV file below the data folder {tmp_path / 'nowhere'}, "
        f"got 'plants', which does not exist; "
        "the data folder is set by --data-dir (make: DATA_DIR=...) or ABLATE_DATA."
    )


def test_an_empty_class(plants: Path) -> None:
    for path in (plants / "plants").glob("*/rose/*"):
        path.unlink()
    assert (
        message_of(PLANTS, plants)
        == "every class must have at least one image, source folder has none for: rose; add images "
        "or remove the class."
    )


def test_a_class_in_val_but_not_in_train(plants: Path) -> None:
    shutil.rmtree(plants / "plants" / "train" / "rose")
    shutil.rmtree(plants / "plants" / "test" / "rose")
    assert (
        message_of(PLANTS, plants)
        == "every class must have images in train, source folder has none there for: rose (in "
        "val); move some to train."
    )


def test_an_empty_split(plants: Path) -> None:
    spec = DataSpec(
        source="folder",
        path="plants",
        split_seed=0,
        fractions=Fractions(train=0.98, val=0.01, test=0.01),
    )
    flat(plants)
    for path in (plants / "plants").glob("*/[1-9].png"):
        path.unlink()
    assert message_of(spec, plants) == (
        "every split must have at least one image, source folder has none in: val, test; add "
        "images, or draw a larger share (data.fractions)."
    )


def test_one_class(plants: Path) -> None:
    for name in ("fern", "moss"):
        for split in ("train", "val", "test"):
            shutil.rmtree(plants / "plants" / split / name)
    assert (
        message_of(PLANTS, plants)
        == "a classification data set must have at least 2 classes, source folder has 1: rose."
    )


@pytest.mark.parametrize("path", ["../elsewhere", "/etc"])
def test_a_path_that_escapes(plants: Path, path: str) -> None:
    message = message_of(DataSpec(source="folder", path=path), plants)
    assert (
        message
        == f"data.path must stay below its folder, got {path!r}; move the files there, or point "
        f"the data folder higher."
    )


def test_an_image_that_links_outside(
    plants: Path, tmp_path_factory: pytest.TempPathFactory, make_image: Callable[..., Path]
) -> None:
    outside = make_image(tmp_path_factory.mktemp("outside") / "a.png")
    (plants / "plants" / "val" / "rose" / "x.png").symlink_to(outside)
    message = message_of(PLANTS, plants)
    shared = plants.parent
    assert message == (
        f"an image must stay below the data folder {plants}, but 'val/rose/x.png' is a link to "
        f"{outside}, which lies outside; "
        f"give --data-dir {shared} (make: DATA_DIR=...) with data.path from there, or copy the "
        f"files."
    )


def test_an_unknown_source(tmp_path: Path) -> None:
    assert message_of(DataSpec(source="flower102"), tmp_path) == (
        f"data.source must be one of {SOURCE_WORDS} for task classification, got 'flower102'; did "
        f"you mean flowers102?"
    )


def test_an_unknown_fallback_is_found_before_it_is_needed(plants: Path) -> None:
    spec = PLANTS.model_copy(update={"fallback": "rendred_flowers"})
    assert (
        message_of(spec, plants)
        == f"data.fallback must be one of {SOURCE_WORDS} for task classification, got "
        f"'rendred_flowers'; did you mean rendered_flowers?"
    )


def test_a_path_with_a_source_that_has_none(tmp_path: Path) -> None:
    assert message_of(DataSpec(source="textile", path="plants"), tmp_path) == (
        "data.path belongs to a source that reads files of your own (folder, parquet, webdataset, "
        "or one that a package brings), got it with source textile; leave it out, or ask for one "
        "of those."
    )


def test_a_folder_without_a_path(tmp_path: Path) -> None:
    assert message_of(DataSpec(source="folder"), tmp_path) == (
        f"data.path must be a folder or a CSV file below the data folder {tmp_path} where the "
        "source is folder, got nothing; the data folder is set by --data-dir (make: DATA_DIR=...) "
        "or ABLATE_DATA."
    )


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "split_seed and data.fractions"),
        ({"fractions": HALVES}, "split_seed"),
        ({"split_seed": 0}, "fractions"),
    ],
)
def test_no_split_is_drawn_by_default(plants: Path, given: dict[str, Any], missing: str) -> None:
    flat(plants)
    message = message_of(DataSpec(source="folder", path="plants", **given), plants)
    assert (
        message
        == f"data.{missing} must be set for source folder, because there are no official splits."
    )


def test_fractions_that_do_not_sum_to_one(plants: Path) -> None:
    flat(plants)
    spec = DataSpec(
        source="folder",
        path="plants",
        split_seed=0,
        fractions=Fractions(train=0.5, val=0.2, test=0.2),
    )
    assert message_of(spec, plants) == "data.fractions must sum to 1, got 0.9."


def test_a_subset_needs_a_seed(plants: Path) -> None:
    spec = DataSpec(source="folder", path="plants", sizes=Sizes(train=6))
    assert (
        message_of(spec, plants)
        == "data.split_seed must be set where data.sizes draws a subset, got null; any whole "
        "number will do."
    )


def test_a_subset_smaller_than_the_classes(plants: Path) -> None:
    spec = DataSpec(source="folder", path="plants", sizes=Sizes(train=2), split_seed=0)
    assert (
        message_of(spec, plants)
        == "data.sizes.train must be at least the number of classes, 3, got 2."
    )


def test_a_subset_is_stratified_and_said(plants: Path) -> None:
    spec = DataSpec(source="folder", path="plants", sizes=Sizes(train=6, val=100), split_seed=7)
    _, data_set = load_data(spec, data_dir=plants, allow_fallback=True)
    assert data_set.facts.class_counts == {"train": (2, 2, 2), "val": (2, 2, 2), "test": (2, 2, 2)}
    assert (
        data_set.facts.split_rule
        == "official; a stratified subset with split_seed 7: train 6 of 12"
    )


def test_a_drawn_split_is_said(plants: Path) -> None:
    flat(plants)
    _, data_set = load_data(
        DataSpec(source="folder", path="plants", split_seed=3, fractions=HALVES),
        data_dir=plants,
        allow_fallback=True,
    )
    assert data_set.facts.class_counts == {"train": (2, 2, 2), "val": (1, 1, 1), "test": (1, 1, 1)}
    assert data_set.facts.split_rule == "stratified, train 0.5, val 0.25, test 0.25, split_seed 3"


def test_the_fingerprint_follows_content_label_and_split(
    plants: Path, make_image: Callable[..., Path]
) -> None:
    def now() -> str:
        return load_data(PLANTS, data_dir=plants, allow_fallback=True)[1].facts.fingerprint

    root = plants / "plants"
    seen = [now()]
    assert now() == seen[0]
    make_image(root / "train" / "rose" / "0.png", seed=99)  # other pixels
    seen.append(now())
    (root / "train" / "rose" / "0.png").rename(root / "train" / "fern" / "9.png")  # another label
    seen.append(now())
    (root / "train" / "fern" / "9.png").rename(root / "val" / "fern" / "9.png")  # another split
    seen.append(now())
    (root / "val" / "fern" / "9.png").unlink()
    seen.append(now())
    assert len(set(seen)) == 5
    assert all(len(digest) == 64 for digest in seen)


def test_the_fingerprint_does_not_follow_the_order_of_an_index(plants: Path) -> None:
    rows = [
        f"{split}/{name}/0.png,{name},{split}"
        for split in ("train", "val", "test")
        for name in ("fern", "rose")
    ]
    digests = []
    for order in (rows, rows[::-1]):
        (plants / "plants" / "index.csv").write_text("\n".join(["file,label,split", *order]))
        spec = DataSpec(source="folder", path="plants/index.csv")
        digests.append(load_data(spec, data_dir=plants, allow_fallback=True)[1].facts.fingerprint)
    assert digests[0] == digests[1]


def test_all_bad_files_are_listed_at_once_before_anything_is_decoded(plants: Path) -> None:
    root = plants / "plants" / "train"
    (root / "fern" / "0.png").write_bytes(b"<!DOCTYPE html><html>not found</html>")
    (root / "moss" / "1.png").write_bytes(bytes(100))
    (root / "rose" / "2.png").write_bytes(b"PK\x03\x04" + bytes(100))
    (root / "rose" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    formats = "JPEG, PNG, BMP, GIF, TIFF, WebP or PPM"
    assert message_of(PLANTS, plants) == (
        "4 images cannot be read:\n"
        f"an image must be a {formats} file, got a web page: train/fern/0.png; fetch the image "
        f"again or remove it.\n"
        "an image must hold pixels, got a file that begins with 100 zero bytes: train/moss/1.png; "
        "copy it again or remove it.\n"
        f"an image must be a {formats} file, got a ZIP archive: train/rose/2.png; save it as PNG "
        f"or JPEG, or remove it.\n"
        f"an image must be a whole {formats} file, got a damaged one: train/rose/3.png; replace or "
        f"remove it."
    )


def test_of_many_bad_files_the_first_are_named_and_all_are_counted(plants: Path) -> None:
    for path in (plants / "plants").rglob("*.png"):
        path.write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    lines = message_of(PLANTS, plants).splitlines()
    assert lines[0] == "24 images cannot be read:"
    assert (len(lines), lines[-1]) == (22, "... and 4 more")


def test_files_of_several_frames_are_counted(plants: Path) -> None:
    for number in range(3):
        path = plants / "plants" / "train" / "fern" / f"{number}.gif"
        Image.new("L", (8, 8), 9).save(
            path, save_all=True, append_images=[Image.new("L", (8, 8), 200)] * (number > 0)
        )
    facts = load_data(PLANTS, data_dir=plants, allow_fallback=True)[1].facts
    assert facts.n_first_frames == 2


def test_the_share_of_pixels_outside_the_middle_squares_is_counted(plants: Path) -> None:
    files = sorted((plants / "plants").rglob("*.png"))
    assert len(files) > 3
    for path in files:
        Image.new("RGB", (8, 8), 9).save(path)
    Image.new("RGB", (8, 32), 9).save(files[0])
    Image.new("RGB", (16, 8), 9).save(files[1])
    facts = load_data(PLANTS, data_dir=plants, allow_fallback=True)[1].facts
    n_images = sum(facts.n_images.values())
    assert facts.cut_share == pytest.approx((0.75 + 0.5) / n_images)
