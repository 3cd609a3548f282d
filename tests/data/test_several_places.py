"""Several folders as one data set: the same classes come together, and what does is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ablate.data.dataset import DataSet, load_data
from ablate.errors import DataError
from ablate.study.trial import DataSpec, Fractions

DRAWN: dict[str, Any] = {"split_seed": 0, "fractions": Fractions(train=0.5, val=0.25, test=0.25)}


def load(data_dir: Path, *paths: str, **more: Any) -> tuple[DataSpec, DataSet]:
    spec = DataSpec(source="folder", paths=paths, **more)
    return load_data(spec, data_dir=data_dir, allow_fallback=False)


def message(data_dir: Path, *paths: str, **more: Any) -> str:
    with pytest.raises(DataError) as error:
        load(data_dir, *paths, **more)
    return str(error.value)


@pytest.fixture
def farms(draw: Callable[..., None], tmp_path: Path) -> Path:
    draw("north/oak", "north/ash", "south/elm", "south/ash")
    return tmp_path / "data"


def test_classes_of_the_same_name_come_together(farms: Path) -> None:
    spec, data = load(farms, "north", "south", **DRAWN)
    assert spec.paths == ("north", "south") and spec.path is None
    assert data.facts.class_names == ("ash", "elm", "oak")
    counts = [sum(column) for column in zip(*data.facts.class_counts.values(), strict=True)]
    assert counts == [12, 6, 6]
    assert (data.facts.title, data.facts.origin) == (
        "north + south",
        "data.path north, data.path south",
    )
    ids = {image_id for split in data.splits.values() for image_id in split.image_ids}
    assert {"north/ash/0.ppm", "south/ash/0.ppm", "south/elm/5.ppm"} <= ids
    assert data.remarks[:3] == (
        "note: classes from all of data.paths, taken together: ash",
        "note: classes from south alone: elm",
        "note: classes from north alone: oak",
    )


def test_the_order_of_the_places_is_no_part_of_the_data(farms: Path) -> None:
    one = load(farms, "north", "south", **DRAWN)[1]
    other = load(farms, "south", "north", **DRAWN)[1]
    assert one.facts.fingerprint == other.facts.fingerprint


def test_places_may_be_given_from_the_root(farms: Path) -> None:
    spec, data = load(farms, str(farms / "north"), "./south", **DRAWN)
    assert spec.paths == ("north", "south")
    assert data.facts.fingerprint == load(farms, "north", "south", **DRAWN)[1].facts.fingerprint


def test_what_a_place_says_is_said_with_its_name(farms: Path, draw: Callable[..., None]) -> None:
    draw("north/oak/deep/1.ppm")
    remarks = load(farms, "north", "south", **DRAWN)[1].remarks
    assert remarks[0] == (
        "in north, note: images in sub-folders of a class count as images of that class: oak/deep"
    )


def test_a_table_and_a_folder_come_together(farms: Path) -> None:
    rows = [f"oak/{i}.ppm,elm" for i in range(6)]
    (farms / "north" / "all.csv").write_text("\n".join(["file,label", *rows]))
    data = load(farms, "north/all.csv", "south", **DRAWN)[1]
    counts = [sum(column) for column in zip(*data.facts.class_counts.values(), strict=True)]
    assert (data.facts.class_names, counts) == (("ash", "elm"), [6, 12])


def test_labels_of_several_places_come_together(farms: Path) -> None:
    for place, word in (("north/oak", "a;b"), ("south/elm", "b;c")):
        rows = [f"{i}.ppm,{word}" for i in range(6)]
        (farms / place / "labels.csv").write_text("\n".join(["image,labels", *rows]))
    spec = DataSpec(source="folder", paths=("north/oak", "south/elm"), **DRAWN)
    data = load_data(spec, data_dir=farms, allow_fallback=False, task="multilabel")[1]
    assert data.facts.class_names == ("a", "b", "c")
    rows_of = dict(
        zip(data.splits["train"].image_ids, data.splits["train"].labels.tolist(), strict=True)
    )
    assert {tuple(row) for name, row in rows_of.items() if "south" in name} == {(0, 1, 1)}


@pytest.mark.parametrize("other", ["north/ash", "./north", "link"])
def test_places_lie_apart(farms: Path, other: str) -> None:
    (farms / "link").symlink_to("north")
    assert message(farms, "north", other, **DRAWN) == (
        f"data.paths must lie apart, '{other}' and 'north' are one in the other; leave out one of "
        "them."
    )


def test_classes_that_differ_in_spelling_alone(farms: Path, draw: Callable[..., None]) -> None:
    draw("west/Ash", "west/oak")
    assert message(farms, "north", "west", **DRAWN) == (
        "classes must differ in more than case, blanks, Unicode form or zeros, data.paths has "
        "'Ash' and 'ash'; give both one name, or names that differ."
    )


def test_places_with_and_without_splits(farms: Path, draw: Callable[..., None]) -> None:
    draw("west/train/ash", "west/test/ash", "west/train/oak", "west/test/oak")
    assert message(farms, "north", "west", **DRAWN) == (
        "all of data.paths must have splits, or none of them, west has and north has not; sort "
        "the images into split folders, or point at the folders inside them."
    )


def test_a_place_that_is_missing_or_outside(farms: Path) -> None:
    assert message(farms, "north", "nowhere", **DRAWN) == (
        f"data.path must be a folder or a CSV file below the data folder {farms}, got 'nowhere', "
        "which does not exist; the data folder is set by --data-dir (make: DATA_DIR=...) or "
        "ABLATE_DATA."
    )
    assert message(farms, "north", "../x", **DRAWN) == (
        "data.paths must stay below its folder, got '../x'; move the files there, or point the "
        "data folder higher."
    )


def test_a_list_of_one_place_is_that_place(farms: Path) -> None:
    assert load(farms, "north", **DRAWN)[1].facts.class_names == ("ash", "oak")
    assert load(farms, "north", **DRAWN)[1].remarks == ()


def test_places_are_given_once() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        DataSpec(source="folder", paths=())
    with pytest.raises(ValidationError, match="a mapping with path or with paths, not both"):
        DataSpec(source="folder", path="c", paths=("a", "b"))


def test_a_source_of_its_own_data_has_no_places(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^data\.paths belongs to a source that reads files of"):
        load_data(
            DataSpec(source="textile", paths=("a", "b")), data_dir=tmp_path, allow_fallback=False
        )
