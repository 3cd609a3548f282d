"""Tables with images in them: as `datasets` writes them, and as anybody else does."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ablate.data.dataset import load_data
from ablate.data.sources import Collection, parquet
from ablate.data.sources._parquet_images import ImageColumn, Kept
from ablate.data.sources._shards import Shard
from ablate.errors import DataError
from ablate.study.image_rule import Column
from ablate.study.table_columns import TableColumns
from ablate.study.trial import DataSpec

SPEC = DataSpec(source="parquet", path="set")
NAMES = ["fern", "moss", "rose"]
CLASS_LABEL = {"names": NAMES, "_type": "ClassLabel"}
IMAGE = {"_type": "Image"}


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (number * 9 % 256, number % 256, 200)).save(file, "PNG")
    return file.getvalue()


def images(n: int) -> list[Mapping[str, Any]]:
    return [{"bytes": png(i), "path": f"part{i // 2}_{i}.png"} for i in range(n)]


Columns = Mapping[str, Sequence[Any]]
"""Name of a column -> its values."""


def write(
    path: Path,
    columns: Columns,
    features: Mapping[str, Any] | None = None,
    *,
    rows: int = 4,
) -> Path:
    """Write a table, with the metadata of `datasets` where there are features."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(dict(columns))
    if features is not None:
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        table = table.replace_schema_metadata(metadata)
    # A page ends after so many rows at the earliest, and is read as a whole.
    pq.write_table(table, path, row_group_size=rows, write_batch_size=4)
    return path


def collect(data_dir: Path, **columns: str) -> Collection:
    spec = SPEC
    if columns:
        spec = SPEC.model_copy(update={"columns": TableColumns(**columns)})
    return parquet.collect(spec, data_dir=data_dir)


def message(
    data_dir: Path,
    columns: Columns,
    features: Mapping[str, Any] | None = None,
    **named: str,
) -> str:
    write(data_dir / "set" / "train.parquet", columns, features)
    with pytest.raises(DataError) as error:
        for item in collect(data_dir, **named).items:
            item.read()
    return str(error.value)


def test_a_folder_of_the_hub(tmp_path: Path) -> None:
    features = {"image": IMAGE, "label": CLASS_LABEL}
    for name, n in (("train-00000-of-00002", 5), ("train-00001-of-00002", 3), ("test-0", 3)):
        labels = [2, 0, 0, 2, 0][:n]
        path = tmp_path / "set" / "data" / f"{name}.parquet"
        write(path, {"image": images(n), "label": labels}, features)
    (tmp_path / "set" / "README.md").write_text("---\nlicense: mit\n---\n")
    found = collect(tmp_path)
    assert found.class_names == ("fern", "rose")
    assert found.remarks == ("left out: classes without any image: moss",)
    assert [(item.split, item.label) for item in found.items] == [
        *[("test", 1), ("test", 0), ("test", 0)],
        *[("train", 1), ("train", 0), ("train", 0), ("train", 1), ("train", 0)],
        *[("train", 1), ("train", 0), ("train", 0)],
    ]
    assert found.items[4].image_id == "data/train-00000-of-00002/000001-part0_1.png"
    assert found.items[4].read().getpixel((0, 0)) == (9, 1, 200)


def test_columns_are_found_by_what_they_hold(tmp_path: Path) -> None:
    features = {"img": IMAGE, "fine": CLASS_LABEL}
    write(tmp_path / "set" / "0.parquet", {"img": images(3), "fine": [0, 1, 2]}, features)
    assert [item.label for item in collect(tmp_path).items] == [0, 1, 2]


def test_columns_are_named_where_several_could_be_meant(tmp_path: Path) -> None:
    features = {"img": IMAGE, "fine": CLASS_LABEL, "coarse": CLASS_LABEL}
    columns: Columns = {"img": images(3), "fine": [0, 1, 2], "coarse": [1, 1, 0]}
    assert message(tmp_path, columns, features) == (
        "a table must have a column of labels, train.parquet has img, fine, coarse; say which is "
        "meant with data.columns, e.g. {label: fine}."
    )
    assert [item.label for item in collect(tmp_path, label="coarse").items] == [1, 1, 0]
    assert message(tmp_path, columns, features, label="corse") == (
        "data.columns must name columns of train.parquet (img, fine, coarse), got 'corse'; did you "
        "mean coarse?"
    )


@pytest.mark.parametrize(
    ("labels", "names", "positions"),
    [
        (["rose", "fern", "rose"], ("fern", "rose"), [1, 0, 1]),
        ([10, 9, 10], ("9", "10"), [1, 0, 1]),
        ([True, False, True], ("false", "true"), [1, 0, 1]),
    ],
)
def test_labels_without_names_of_classes(
    tmp_path: Path, labels: list[Any], names: tuple[str, ...], positions: list[int]
) -> None:
    raw = [image["bytes"] for image in images(3)]
    write(tmp_path / "set" / "0.parquet", {"image": raw, "label": labels})
    found = collect(tmp_path)
    assert found.class_names == names
    assert [item.label for item in found.items] == positions
    assert found.items[0].image_id == "0/000000"
    assert found.items[2].read().getpixel((0, 0)) == (18, 2, 200)


@pytest.mark.parametrize(
    "feature",
    [
        [CLASS_LABEL],
        {"feature": CLASS_LABEL, "_type": "Sequence"},
        {"feature": CLASS_LABEL, "_type": "List"},
    ],
)
def test_several_labels(tmp_path: Path, feature: Any) -> None:
    features = {"image": IMAGE, "labels": feature}
    columns: Columns = {"image": images(3), "labels": [[2, 0], [], [1]]}
    write(tmp_path / "set" / "0.parquet", columns, features)
    found = parquet.collect_several_labels(SPEC, data_dir=tmp_path)
    assert (found.class_names, [item.label for item in found.items]) == (
        ("fern", "moss", "rose"),
        [(0, 2), (), (1,)],
    )


def test_splits_and_groups_from_columns(tmp_path: Path) -> None:
    columns: Columns = {
        "image": images(18),
        "label": [0, 1] * 9,
        "split": ["train"] * 6 + ["validation"] * 6 + ["test"] * 6,
        "plant": [i // 2 for i in range(18)],
    }
    write(tmp_path / "set" / "all.parquet", columns)
    spec = SPEC.model_copy(update={"group_by": Column(column="plant")})
    data = load_data(spec, data_dir=tmp_path, allow_fallback=False)[1]
    assert data.facts.class_counts == {"train": (3, 3), "val": (3, 3), "test": (3, 3)}
    assert data.splits["val"].groups == ("3", "3", "4", "4", "5", "5")
    # the name that an image once had is a part of its id, for expressions
    by_name = SPEC.model_copy(update={"group_by": "(part[0-9]+)_"})
    again = load_data(by_name, data_dir=tmp_path, allow_fallback=False)[1]
    assert again.splits["val"].groups == ("part3", "part3", "part4", "part4", "part5", "part5")


HUB = {"image": IMAGE, "label": CLASS_LABEL}


@pytest.mark.parametrize(
    ("columns", "features", "text"),
    [
        (
            {"image": images(2)},
            None,
            "a table must have a column of labels, train.parquet has image; say which is meant "
            "with data.columns, e.g. {label: ...}.",
        ),
        (
            {"a": images(2), "b": images(2), "label": [0, 1]},
            None,
            "a table must have a column of images, train.parquet has a, b, label; say which is "
            "meant with data.columns, e.g. {image: a}.",
        ),
        (
            {"image": images(2), "label": [0, 3]},
            HUB,
            "a label must be a position in the 3 class names, 0 to 2, row 1 of train.parquet has "
            "3; correct the label or the names.",
        ),
        (
            {"image": images(2), "label": [0, -1]},
            HUB,
            "a label must not be negative, row 1 of train.parquet has -1, which stands for an "
            "image without a label; leave such images out.",
        ),
        (
            {"image": images(2), "label": [0, None]},
            HUB,
            "a label must be a whole number or a printable text, row 1 of train.parquet has none; "
            "give every image its label, or leave it out.",
        ),
        (
            {"image": images(2), "label": [0.5, 1]},
            None,
            "a label must be a whole number or a printable text, row 0 of train.parquet has 0.5; "
            "give every image its label, or leave it out.",
        ),
        (
            {"image": images(2), "label": [0, 1]},
            {"image": IMAGE, "label": {"names": ["a", "a"], "_type": "ClassLabel"}},
            "names of classes must be different printable texts, those of train.parquet are not: "
            "a, a.",
        ),
        (
            {"image": [], "label": pa.array([], pa.int64())},
            None,
            "tables must have rows, those of set have none.",
        ),
        (
            {"image": [*images(1), {"bytes": None, "path": "/x/y.png"}], "label": [0, 1]},
            HUB,
            "an image must have its bytes in column image, row 1 of train.parquet has none; write "
            "the images into the table, as `datasets` does with embed_external_files.",
        ),
        (
            {"image": [{"bytes": b"<html>", "path": "a.png"}, *images(1)], "label": [0, 1]},
            HUB,
            "an image must be a JPEG, PNG, BMP, GIF, TIFF, WebP or PPM file, got a web page: "
            "train/000000-a.png; fetch the image again or remove it.",
        ),
        (
            {"image": images(2), "label": [0, 1], "split": ["train", "holdout"]},
            None,
            "a split must be one of train, val, test, got 'holdout' in row 1 of train.parquet.",
        ),
    ],
)  # fmt: skip
def test_an_odd_table_is_refused(
    tmp_path: Path, columns: dict[str, Any], features: Any, text: str
) -> None:
    named = {"split": "split"} if "split" in columns else {}
    if columns["image"] == [] if "image" in columns else False:
        columns = {**columns, "image": pa.array([], pa.binary())}
    assert message(tmp_path, columns, features, **named) == text


def test_tables_of_other_classes_or_columns(tmp_path: Path) -> None:
    write(tmp_path / "set" / "train-0.parquet", {"image": images(2), "label": [0, 1]}, HUB)
    other = {"image": IMAGE, "label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    path = write(tmp_path / "set" / "train-1.parquet", {"image": images(2), "label": [0, 1]}, other)
    with pytest.raises(DataError) as error:
        collect(tmp_path)
    assert str(error.value) == (
        "all tables of a data set must name the same classes in the same order, train-1.parquet "
        "names others than the first; keep tables of one data set in a folder."
    )
    write(path, {"image": images(2), "kind": [0, 1]})
    with pytest.raises(DataError) as error:
        collect(tmp_path)
    assert str(error.value) == (
        "every table must have the columns image, label, train-1.parquet lacks label; it has "
        "image, kind."
    )


def test_what_is_no_table(tmp_path: Path) -> None:
    path = write(tmp_path / "set" / "train.parquet", {"image": images(8), "label": [0, 1] * 4})
    whole = path.read_bytes()
    for content in (b"", b"no table" * 99, whole[:200], whole[:-9]):
        path.write_bytes(content)
        with pytest.raises(DataError) as error:
            collect(tmp_path)
        text = str(error.value)
        assert text.startswith("a shard must be a whole Parquet file, train.parquet is not (")
        assert text.endswith("); copy it again.")


def test_any_damage_is_a_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "set" / "train.parquet", {"image": images(8), "label": [0, 1] * 4})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    n_refused = 0
    for _ in range(150):
        broken = bytearray(whole)
        start = int(rng.integers(0, len(whole)))
        broken[start : start + 8] = rng.bytes(8)
        path.write_bytes(bytes(broken[: len(whole)]))
        try:
            for item in collect(tmp_path).items:
                item.read()
        except DataError:
            n_refused += 1
    assert n_refused > 50


# reading in stretches


def noise(n: int, n_bytes: int) -> list[bytes]:
    rng = np.random.default_rng(0)
    return [rng.bytes(n_bytes) for _ in range(n)]


def column(path: Path, kept: Kept) -> ImageColumn:
    metadata = pq.ParquetFile(path).metadata
    return ImageColumn(Shard(path, path.name, None), "image", metadata, kept)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_rows_in_any_order_are_those_of_the_table(tmp_path: Path, rows: int) -> None:
    contents = noise(40, 400_000)
    cells = [{"bytes": content, "path": None} for content in contents]
    path = write(tmp_path / "a.parquet", {"image": cells}, rows=rows)
    images = column(path, Kept(most=10_000_000))
    order = np.random.default_rng(1).permutation(40).tolist()
    for row in [*range(40), *order]:
        assert images.fetch(row) == contents[row]


def test_memory_is_bounded_however_large_a_row_group(tmp_path: Path) -> None:
    contents = noise(120, 1_000_000)  # 120 MB in one row group
    path = write(tmp_path / "a.parquet", {"image": contents}, rows=1000)
    kept = Kept(most=20_000_000)
    images = column(path, kept)
    before = pa.total_allocated_bytes()
    most = 0
    for row in range(120):
        assert len(images.fetch(row)) == 1_000_000
        most = max(most, pa.total_allocated_bytes() - before)
        assert kept.n_bytes <= 20_000_000 + 8 * 2**20
    assert most < 60_000_000


def test_pages_that_need_much_memory_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_LARGE_PAGE", 1_000_000)
    columns: dict[str, Sequence[Any]] = {"image": images(40), "label": [0, 1] * 20}
    write(tmp_path / "set" / "a.parquet", columns, rows=1000)
    assert collect(tmp_path).remarks == ()
    columns["image"] = noise(40, 500_000)
    write(tmp_path / "set" / "b.parquet", columns, rows=1000)
    assert collect(tmp_path).remarks == (
        "note: reading b.parquet may take 0.0 GB of memory at once, because of its long row "
        "groups; tables of images are best written with row_group_size=100",
    )


def test_rows_in_order_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.parquet", {"image": noise(60, 500_000)}, rows=30)
    opened: list[Any] = []
    real = ImageColumn._stretches

    def stretches(self: ImageColumn, group: Any) -> Any:
        opened.append(group)
        return real(self, group)

    monkeypatch.setattr(ImageColumn, "_stretches", stretches)
    images = column(path, Kept(most=9_000_000))
    for row in range(60):
        images.fetch(row)
    assert len(opened) == 2  # each row group from its first row on, and never again
