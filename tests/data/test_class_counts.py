"""Splits whose scores would flatter.

Refused where nothing can be chosen by them, said where the data set is so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.data.dataset import DataSet, load_data
from ablate.errors import DataError
from ablate.study.trial import DataSpec, Fractions, Sizes

Draw = Callable[..., None]


def _load(tmp_path: Path, **fields: object) -> DataSet:
    return load_data(
        DataSpec.model_validate({"source": "folder", "path": "pets", **fields}),
        data_dir=tmp_path / "data",
        allow_fallback=False,
    )[1]


def test_val_of_one_class_chooses_nothing(tmp_path: Path, draw: Draw) -> None:
    draw("pets/train/cat", "pets/train/dog", "pets/val/cat", "pets/test/cat", "pets/test/dog")
    with pytest.raises(DataError) as caught:
        _load(tmp_path)
    assert str(caught.value) == (
        "val must have images of at least 2 classes, source folder has 6 there, all of cat: "
        "always predicting that class scores 1.000, "
        "and nothing can be chosen by it; add images of other classes, or draw a larger share "
        "(data.fractions)."
    )


def test_a_drawn_val_of_one_class(tmp_path: Path, draw: Draw) -> None:
    draw("pets/cat", "pets/dog")
    with pytest.raises(
        DataError,
        match=r"^val must have images of at least 2 classes, source folder has 1 there, all of "
        r"(cat|dog): ",
    ):
        _load(tmp_path, split_seed=0, fractions=Fractions(train=0.8, val=0.1, test=0.1))


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_subset_of_one_image(tmp_path: Path, draw: Draw, split: str) -> None:
    draw(*(f"pets/{part}/{name}" for part in ("train", "val", "test") for name in ("cat", "dog")))
    with pytest.raises(DataError) as caught:
        _load(tmp_path, split_seed=0, sizes=Sizes(**{split: 1}))
    assert (
        str(caught.value) == f"data.sizes.{split} must be at least the number of classes, 2, got 1."
    )


def test_classes_that_val_and_test_lack_are_said(tmp_path: Path, draw: Draw) -> None:
    draw(
        *(f"pets/train/{name}" for name in ("cat", "cow", "dog")),
        "pets/val/cat",
        "pets/val/dog",
        "pets/test/cow",
    )
    assert _load(tmp_path).remarks == (
        "warning: val has no images of 1 of 3 classes (cow); its scores say nothing about them, "
        "and macro F1 and AUROC are means over the other classes",
        "warning: test has no images of 2 of 3 classes (cat, dog); its scores say nothing about "
        "them, and macro F1 and AUROC are means over the other classes",
        "warning: all images of test are of cow: always predicting that class scores 1.000, so "
        "its scores say nothing",
    )


def test_copies_are_said_the_worst_first(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"pets/{part}/{name}" for part in ("train", "val", "test") for name in ("cat", "dog")))
    root = tmp_path / "data" / "pets"

    def copy(source: str, target: str) -> None:
        (root / target).write_bytes((root / source).read_bytes())

    assert _load(tmp_path).remarks == ()
    copy("train/cat/0.ppm", "train/cat/0 copy.ppm")
    assert _load(tmp_path).remarks == (
        "note: 1 image is an exact copy of another one with the same label in the same split, for "
        "example train/cat/0 copy.ppm (train) = train/cat/0.ppm (train)",
    )
    copy("train/cat/1.ppm", "test/cat/9.ppm")
    copy("train/cat/2.ppm", "train/dog/9.ppm")
    assert _load(tmp_path).remarks == (
        "warning: 1 image is an exact copy of another one with different labels, for example "
        "train/cat/2.ppm (train) = train/dog/9.ppm (train)",
        "warning: 1 image is an exact copy of another one in another split, for example "
        "train/cat/1.ppm (train) = test/cat/9.ppm (test)",
    )
