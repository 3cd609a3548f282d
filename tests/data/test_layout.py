"""Which level of a tree holds the classes.

Trees that can be read in two ways are refused with both ways out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.data.dataset import DataSet, load_data
from ablate.data.sources._roles import split_and_rest
from ablate.errors import DataError
from ablate.study.trial import DataSpec, Fractions

DRAWN: dict[str, Any] = {"split_seed": 0, "fractions": Fractions(train=0.6, val=0.2, test=0.2)}
BY_CSV = "name the images in a CSV (columns file, label, split) and give it as data.path."
Draw = Callable[..., None]


def _load(tmp_path: Path) -> DataSet:
    return load_data(
        DataSpec(source="folder", path="pets", **DRAWN),
        data_dir=tmp_path / "data",
        allow_fallback=False,
    )[1]


def _message(tmp_path: Path) -> str:
    with pytest.raises(DataError) as caught:
        _load(tmp_path)
    return str(caught.value)


def _splits_text(names: str, below: str | None) -> str:
    inside = f", with {below} in the first" if below else ""
    return (
        f"class folders must be named after their classes, pets holds {names}{inside}: they "
        "look like splits or folds of the same classes. "
        "If they are splits, rename them to train, val and test, with one folder per class "
        f"directly in each; if they are classes, {BY_CSV}"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        ("test_set", "training_set"),
        ("test_images", "train_images", "val_images"),
        ("TrainData", "ValidationData"),
        ("seg_pred", "seg_test", "seg_train"),
        ("test2017", "train2017"),
        ("testA", "trainA"),
        ("X_test", "X_train"),
        ("fold1", "fold2", "fold3"),
        ("entrenamiento", "prueba"),
        ("Testdaten", "Trainingsdaten"),
        ("entraînement", "essai"),
        ("测试集", "训练集"),
        ("обучение", "тест"),
        ("one", "two"),
    ],
)
@pytest.mark.parametrize("is_nested", [False, True])
def test_splits_under_other_names_are_no_classes(
    tmp_path: Path, draw: Draw, names: tuple[str, ...], is_nested: bool
) -> None:
    for name in names:
        top = f"pets/{name}/{name}" if is_nested else f"pets/{name}"
        draw(f"{top}/cat", f"{top}/dog")
    assert _message(tmp_path) == _splits_text(
        ", ".join(names), names[0] if is_nested else "cat, dog"
    )


@pytest.mark.parametrize(
    "names",
    [
        ("test_set", "training_set"),
        ("fold_0", "fold_1"),
        ("cats_test", "cats_train", "dogs_train"),
        ("test data 2", "train_images"),
    ],
)
def test_splits_of_images_without_classes(
    tmp_path: Path, draw: Draw, names: tuple[str, ...]
) -> None:
    draw(*(f"pets/{name}" for name in names))
    assert _message(tmp_path) == _splits_text(", ".join(names), None)


def test_splits_in_which_a_class_is_missing(tmp_path: Path, draw: Draw) -> None:
    draw("pets/a/cat", "pets/a/dog", "pets/a/cow", "pets/b/cat", "pets/b/dog")
    assert _message(tmp_path) == _splits_text("a, b", "cat, cow, dog")


def test_splits_within_classes(tmp_path: Path, draw: Draw) -> None:
    draw("pets/cat/train", "pets/cat/test", "pets/dog/train", "pets/dog/test")
    assert _message(tmp_path) == _splits_text("cat, dog", "test, train")


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (("pets/steam_train", "pets/freight_train"), ("freight_train", "steam_train")),
        (("pets/test_tube", "pets/beaker", "pets/flask"), ("beaker", "flask", "test_tube")),
        (("pets/trainer", "pets/tester"), ("tester", "trainer")),
        (("pets/cat/images", "pets/dog/images"), ("cat", "dog")),
        (("pets/fold", "pets/crease"), ("crease", "fold")),
        (("pets/train/test", "pets/train/dog"), ("dog", "test")),
        (("pets/with_mask", "pets/without_mask"), ("with_mask", "without_mask")),
        (("pets/val d'or", "pets/test_strip"), ("test_strip", "val d'or")),
        (
            ("pets/Training shoe", "pets/tennis shoe", "pets/Test cricket shoe"),
            ("Test cricket shoe", "Training shoe", "tennis shoe"),
        ),
    ],
)
def test_classes_that_only_sound_like_splits(
    tmp_path: Path, draw: Draw, names: tuple[str, ...], classes: tuple[str, ...]
) -> None:
    draw(*names)
    assert _load(tmp_path).facts.class_names == classes


@pytest.mark.parametrize(
    ("folder", "way_out"),
    [
        ("pets/dataset", "or write data.path: pets/dataset"),
        ("pets/a/b", "or write data.path: pets/a/b"),
    ],
)
def test_a_wrapper_says_where_the_classes_are(
    tmp_path: Path, draw: Draw, folder: str, way_out: str
) -> None:
    draw(f"{folder}/cat", f"{folder}/dog", "pets/__MACOSX/cat/._0.png")
    only = folder.split("/")[1]
    assert _message(tmp_path) == (
        f"a folder of images must hold one folder per class, pets holds {only} alone, with "
        f"the folders cat, dog in {folder}; move those up to pets, {way_out}."
    )


def test_a_wrapper_in_a_split(tmp_path: Path, draw: Draw) -> None:
    draw(
        *(f"pets/{split}/{split}/{name}" for split in ("train", "test") for name in ("cat", "dog"))
    )
    assert _message(tmp_path) == (
        "a folder of images must hold one folder per class, pets/test holds test alone, with "
        "the folders cat, dog in pets/test/test; "
        "move those up to pets/test, which is the split."
    )


def test_an_archive_that_was_unpacked_twice(tmp_path: Path, draw: Draw) -> None:
    draw("pets/cat", "pets/dog", "pets/animals/cat", "pets/animals/dog")
    assert _message(tmp_path) == (
        "class folders must be there once, pets/animals holds folders with the names of its "
        "neighbours (cat, dog), as an archive that was unpacked twice; "
        "remove one of the two."
    )


@pytest.mark.parametrize(
    "names",
    [
        ("images", "masks"),
        ("Annotations", "JPEGImages"),
        ("images", "labels"),
        ("groundtruth", "imgs"),
    ],
)
def test_images_beside_their_labels_are_no_classes(
    tmp_path: Path, draw: Draw, names: tuple[str, ...]
) -> None:
    draw(*(f"pets/{name}" for name in names))
    assert _message(tmp_path) == (
        f"class folders must be named after their classes, pets holds {', '.join(names)}, which "
        "look like images and their masks or labels; "
        f"sort the images into class folders, or {BY_CSV}"
    )


def test_a_class_that_is_called_as_a_split(tmp_path: Path, draw: Draw) -> None:
    draw("pets/train", "pets/bus")
    assert _message(tmp_path) == (
        "a folder must hold either split folders or class folders, pets holds both; these are "
        "not splits: bus. If they are, rename them to train, val or test; "
        f"if not, move them away; or, where train is a class, {BY_CSV}"
    )


def test_a_split_without_class_folders(tmp_path: Path, draw: Draw) -> None:
    draw("pets/train/cat", "pets/train/dog", "pets/test")
    assert _message(tmp_path) == (
        "a split folder must hold one folder per class, pets/test holds none; move it away "
        "(what is missing is drawn from train where data.split_seed and "
        f"data.fractions are set), or, if it is a class, {BY_CSV}"
    )


def test_a_split_without_images(tmp_path: Path, draw: Draw) -> None:
    draw("pets/train/cat", "pets/train/dog")
    (tmp_path / "data/pets/val/cat").mkdir(parents=True)
    assert _message(tmp_path) == (
        "a split folder must hold images, pets/val holds none; fill or remove it (what is "
        "missing is drawn from train where data.split_seed and "
        "data.fractions are set)."
    )


@pytest.mark.parametrize(
    ("files", "rest"),
    [
        ((), "."),
        (
            ("pets/1.png", "pets/2.png"),
            (
                " but 2 files; sort them into class folders, or name them in a CSV (columns file, "
                "label) and give it as data.path."
            ),
        ),
        (
            ("pets/1.png", "pets/all.csv"),
            " but the CSV file all.csv; data.path: pets/all.csv would read it.",
        ),
    ],
)
def test_a_folder_without_folders(
    tmp_path: Path, draw: Draw, files: tuple[str, ...], rest: str
) -> None:
    (tmp_path / "data/pets").mkdir(parents=True)
    draw(*files)
    assert (
        _message(tmp_path)
        == f"a folder of images must hold one folder per class, pets holds none{rest}"
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Cat", "cat"),
        ("cat ", "cat"),
        ("1", "01"),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"),
    ],
)
@pytest.mark.parametrize("is_split", [False, True])
def test_classes_that_differ_in_spelling_alone(
    tmp_path: Path, draw: Draw, first: str, second: str, is_split: bool
) -> None:
    draw(
        *(
            [f"pets/train/{first}", f"pets/test/{second}"]
            if is_split
            else [f"pets/{first}", f"pets/{second}"]
        ),
        f"pets/{'train/' * is_split}dog",
    )
    if len(list((tmp_path / "data/pets").rglob("*.ppm"))) < 18:
        pytest.skip("this file system takes both names for one")
    lower, upper = sorted([first, second])
    assert _message(tmp_path) == (
        "classes must differ in more than case, blanks, Unicode form or zeros, data.path "
        f"pets has {lower!r} and {upper!r}; "
        "give both one name, or names that differ."
    )


def test_names_that_yaml_would_read_as_other_things_stay_names(tmp_path: Path, draw: Draw) -> None:
    names = ("007", "1e3", "no", "null", "yes")
    draw(*(f"pets/{name}" for name in names))
    assert _load(tmp_path).facts.class_names == names


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("training_set", "train"),
        ("my-train", "train"),
        ("ValidationData", "val"),
        ("evaluation", "val"),
        ("TESTSET", "test"),
        ("tester", None),
        ("strain", None),
        ("attest", None),
        ("cat", None),
        ("", None),
    ],
)
def test_the_split_in_a_name(name: str, split: str | None) -> None:
    assert (split_and_rest(name) or (None,))[0] == split
