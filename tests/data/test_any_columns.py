"""CSV files with columns of any name: `data.columns` says which is which."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from ablate.data.dataset import DataSet, load_data
from ablate.errors import DataError
from ablate.study.table_columns import TableColumns
from ablate.study.trial import DataSpec

SPLITS = ("train", "val", "test")


@pytest.fixture
def table(plants: Path) -> Path:
    """`plants/all.csv` with the columns path, species, fold and note."""
    rows = ["path,species,fold,note"]
    for split in SPLITS:
        for name in ("fern", "rose"):
            rows += [f"{split}/{name}/{i}.png,{name.upper()},{split},x" for i in range(2)]
    (plants / "plants" / "all.csv").write_text("\n".join(rows))
    return plants


def load(data_dir: Path, *, task: str = "classification", **columns: str) -> DataSet:
    spec = DataSpec(source="folder", path="plants/all.csv", columns=TableColumns(**columns))
    return load_data(spec, data_dir=data_dir, allow_fallback=False, task=task)[1]


def message(data_dir: Path, *, task: str = "classification", **columns: str) -> str:
    with pytest.raises(DataError) as error:
        load(data_dir, task=task, **columns)
    return str(error.value)


def test_columns_are_read_under_the_names_that_are_given(table: Path) -> None:
    data = load(table, image="path", label="species", split="fold")
    assert data.facts.class_names == ("FERN", "ROSE")
    assert data.facts.class_counts == {"train": (2, 2), "val": (2, 2), "test": (2, 2)}
    assert data.facts.split_rule == "official"
    assert data.remarks[0] == "note: columns of all.csv that are not read: note"


def test_other_names_are_the_same_data_as_the_usual_ones(table: Path) -> None:
    index = table / "plants" / "all.csv"
    text = index.read_text()
    named = load(table, image="path", label="species", split="fold")
    index.write_text(text.replace("path,species,fold", "file,label,split"))
    usual = load_data(
        DataSpec(source="folder", path="plants/all.csv"), data_dir=table, allow_fallback=False
    )[1]
    assert named.facts.fingerprint == usual.facts.fingerprint


def test_a_name_that_is_not_given_stays_the_usual_one(table: Path) -> None:
    index = table / "plants" / "all.csv"
    index.write_text(index.read_text().replace("species,fold", "label,split"))
    assert load(table, image="path").facts.class_counts["val"] == (2, 2)


def test_several_labels_under_other_names(table: Path) -> None:
    index = table / "plants" / "all.csv"
    index.write_text(index.read_text().replace("ROSE", "ROSE;RED"))
    data = load(table, task="multilabel", image="path", label="species", split="fold")
    assert data.facts.class_names == ("FERN", "RED", "ROSE")
    assert data.splits["val"].labels.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 1]]


def test_a_column_that_is_not_there_is_refused_with_the_nearest(table: Path) -> None:
    for task in ("classification", "multilabel"):
        assert message(table, task=task, image="paht", label="species") == (
            "data.columns must name columns of all.csv (path, species, fold, note), got 'paht'; "
            "did you mean path?"
        )


def test_words_of_splits_are_still_those_of_splits(table: Path) -> None:
    assert message(table, image="path", label="species", split="note") == (
        "a split must be one of train, val, test, got 'x' in row 2 of all.csv."
    )


def test_errors_name_the_columns_as_they_are_called(table: Path) -> None:
    index = table / "plants" / "all.csv"
    index.write_text(index.read_text() + "\ntrain/rose/3.png,,train,x")
    assert message(table, image="path", label="species", split="fold") == (
        "every row of an index must have a path and a species, row 14 of all.csv has not."
    )


def test_without_them_an_error_says_how_to_name_them(table: Path) -> None:
    with pytest.raises(DataError) as error:
        load_data(
            DataSpec(source="folder", path="plants/all.csv"), data_dir=table, allow_fallback=False
        )
    assert str(error.value) == (
        "an index must have the columns file and label, all.csv lacks file, label; it has path, "
        "species, fold, note; data.columns says what they are called, e.g. {image: path, label: "
        "species}."
    )


def test_a_folder_has_no_columns(plants: Path) -> None:
    spec = DataSpec(source="folder", path="plants", columns=TableColumns(image="path"))
    with pytest.raises(DataError) as error:
        load_data(spec, data_dir=plants, allow_fallback=False)
    assert str(error.value) == (
        "data.columns names columns of a CSV, data.path plants is a folder; leave it out, or give "
        "the CSV's own path."
    )


def test_names_of_classes_are_the_labels_themselves_where_there_are_several(table: Path) -> None:
    assert message(table, task="multilabel", image="path", class_name="species") == (
        "data.columns.class_name must be left out here, got 'species': the column of labels holds "
        "the names of the classes."
    )


def test_one_column_has_one_role() -> None:
    with pytest.raises(ValidationError, match="names each column once, 'a' stands twice"):
        TableColumns(image="a", label="a")


def test_roles_without_a_name_are_not_in_the_record() -> None:
    spec = DataSpec(source="folder", path="a.csv", columns=TableColumns(image="path"))
    assert spec.model_dump()["columns"] == {"image": "path"}
    plain = DataSpec(source="folder", path="a.csv").model_dump()
    assert "columns" not in plain and "paths" not in plain
