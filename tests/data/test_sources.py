from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from ablate.data.dataset import load_data
from ablate.data.sources import flowers102, image_folder, torchvision_named
from ablate.data.sources._network import is_reachable
from ablate.errors import DataError
from ablate.study.trial import DataSpec, Fractions

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
DRAWN: dict[str, Any] = {"split_seed": 0, "fractions": Fractions(train=0.6, val=0.2, test=0.2)}
NOWHERE = "http://127.0.0.1:9/"


def message_of(spec: DataSpec, data_dir: Path) -> str:
    with pytest.raises(DataError) as error:
        load_data(spec, data_dir=data_dir, allow_fallback=True)
    return str(error.value)


def write_index(data_dir: Path, text: str) -> DataSpec:
    (data_dir / "plants" / "index.csv").write_text(text)
    return DataSpec(source="folder", path="plants/index.csv")


# folder


@pytest.mark.parametrize("word", ["valid", "Validation", "dev"])
def test_split_folders_have_several_names(plants: Path, word: str) -> None:
    (plants / "plants" / "val").rename(plants / "plants" / word)
    collection = image_folder.collect(DataSpec(source="folder", path="plants"), data_dir=plants)
    assert {item.split for item in collection.items} == {"train", "val", "test"}


def test_hidden_files_and_other_files_are_no_images(plants: Path) -> None:
    rose = plants / "plants" / "train" / "rose"
    for name in (".0.png", "notes.txt"):
        (rose / name).write_text("x")
    (plants / "plants" / ".cache").mkdir()
    collection = image_folder.collect(DataSpec(source="folder", path="plants"), data_dir=plants)
    assert len(collection.items) == 24


def test_images_lie_at_any_depth_of_a_class_folder(
    plants: Path, make_image: Callable[..., Path]
) -> None:
    make_image(plants / "plants" / "train" / "rose" / "red" / "deep" / "x.png")
    collection = image_folder.collect(DataSpec(source="folder", path="plants"), data_dir=plants)
    assert ("train/rose/red/deep/x.png", 2) in {
        (item.image_id, item.label) for item in collection.items
    }


def test_split_folders_beside_class_folders(plants: Path) -> None:
    (plants / "plants" / "oak").mkdir()
    message = message_of(DataSpec(source="folder", path="plants"), plants)
    assert message == (
        "a folder must hold either split folders or class folders, plants holds both; these "
        "are not splits: oak. If they are, rename them to "
        "train, val or test; if not, move them away; or, where test or train or val is a class, "
        "name the images in a CSV (columns file, label, split) and give it as data.path."
    )


def test_two_folders_of_one_split(plants: Path) -> None:
    (plants / "plants" / "valid").mkdir()
    assert message_of(DataSpec(source="folder", path="plants"), plants) == (
        "each split must have one folder in plants, got test, train, val, valid; merge or "
        "rename them."
    )


def test_a_folder_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "plants").mkdir()
    assert (
        message_of(DataSpec(source="folder", path="plants"), tmp_path)
        == "a folder of images must hold one folder per class, plants holds none."
    )


def test_a_file_that_is_no_index(plants: Path) -> None:
    message = message_of(DataSpec(source="folder", path="plants/train/rose/0.png"), plants)
    assert (
        message
        == "data.path must be a folder or a CSV file, got the file 'plants/train/rose/0.png'."
    )


def test_an_index_without_splits(plants: Path) -> None:
    rows = [f"train/{name}/{i}.png,{name}" for name in ("rose", "fern") for i in range(4)]
    spec = write_index(plants, "\n".join(["file,label", *rows])).model_copy(update=DRAWN)
    _, data_set = load_data(spec, data_dir=plants, allow_fallback=True)
    assert data_set.facts.class_names == ("fern", "rose")
    assert sum(sum(counts) for counts in data_set.facts.class_counts.values()) == 8


def test_labels_that_are_numbers_are_sorted_as_numbers(plants: Path) -> None:
    rows = [
        f"{split}/{name}/0.png,{label},{name},{split}"
        for split in ("train", "valid", "test")
        for label, name in ((10, "rose"), (9, "fern"))
    ]
    (plants / "plants" / "val").rename(plants / "plants" / "valid")
    _, data_set = load_data(
        write_index(plants, "\n".join(["file,label,class_name,split", *rows])),
        data_dir=plants,
        allow_fallback=True,
    )
    assert data_set.facts.class_names == ("fern", "rose")
    assert data_set.splits["val"].image_ids == ("valid/rose/0.png", "valid/fern/0.png")
    assert data_set.splits["val"].labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,label\na.png,1",
            (
                "an index must have the columns file and label, index.csv lacks file; it has "
                "path, label; data.columns says what they are called, e.g. {image: path, label: "
                "label}."
            ),
        ),
        (
            "",
            (
                "an index must have the columns file and label, index.csv lacks file, label; it "
                "has none."
            ),
        ),
        (
            "file,label\na.png,",
            "every row of an index must have a file and a label, row 2 of index.csv has not.",
        ),
        (
            "file,label\na.png,1\na.png,2",
            (
                "a file must be named once in index.csv, 'a.png' is named in rows 2 and 3, with "
                "label '1' and '2'; keep one row."
            ),
        ),
        (
            "file,label,split\na.png,1,holdout",
            "a split must be one of train, val, test, got 'holdout' in row 2 of index.csv.",
        ),
        (
            "file,label,class_name\na.png,1,rose\nb.png,2,rose",
            (
                "each label must have its own class_name in index.csv, these have several labels: "
                "rose."
            ),
        ),
        (
            "file,label\n../../x.png,1",
            (
                "an image must stay below its folder, got '../../x.png'; move the files there, or "
                "point the data folder higher."
            ),
        ),
    ],
)
def test_a_wrong_index(plants: Path, text: str, message: str) -> None:
    assert message_of(write_index(plants, text), plants) == message


def test_an_index_that_names_a_missing_file(plants: Path) -> None:
    rows = [
        f"train/{name}/{i}.png,{name},{split}"
        for i, split in enumerate(("train", "val", "test"))
        for name in ("rose", "oak")
    ]
    message = message_of(write_index(plants, "\n".join(["file,label,split", *rows])), plants)
    assert message == (
        "every file of index.csv must exist, 3 are not there: 'train/oak/0.png' (row 3), "
        "'train/oak/1.png' (row 5), 'train/oak/2.png' (row 7); "
        "correct the names or leave out the rows."
    )


# flowers102


@pytest.mark.shared
@pytest.mark.skipif(
    not (SHARED / "flowers102" / "index.csv").exists(),
    reason="the photographs of ../shared/data/flowers102 are not here",
)
def test_flowers_from_an_index() -> None:
    _, data_set = load_data(DataSpec(source="flowers102"), data_dir=SHARED, allow_fallback=False)
    facts = data_set.facts
    assert [len(data_set.splits[split].labels) for split in ("train", "val", "test")] == [
        1020,
        1020,
        2040,
    ]
    assert facts.class_counts["train"] == (10,) * 102
    assert (facts.class_names[76], facts.title, facts.is_synthetic) == (
        "passion flower",
        "Oxford Flowers-102",
        False,
    )
    assert facts.split_rule == "official, with 2040 of the 6149 test images"
    first = data_set.splits["train"]
    assert (first.image_ids[0], first.labels[0]) == ("train/077_passion_flower/image_00028.jpg", 76)
    assert min(first.read(0).size) == 256


def test_flowers_from_the_official_files(tmp_path: Path, make_image: Callable[..., Path]) -> None:
    savemat(tmp_path / "imagelabels.mat", {"labels": np.array([[3, 1, 2, 1]])})
    savemat(
        tmp_path / "setid.mat",
        {"trnid": np.array([[4, 3]]), "valid": np.array([[1, 2]]), "tstid": np.array([[2, 3]])},
    )
    for number in range(1, 5):
        make_image(tmp_path / "jpg" / f"image_{number:05d}.jpg")
    items = flowers102.read_mat_files(tmp_path)
    assert [(item.image_id, item.label, item.split) for item in items] == [
        ("jpg/image_00004.jpg", 0, "train"),
        ("jpg/image_00003.jpg", 1, "train"),
        ("jpg/image_00001.jpg", 2, "val"),
        ("jpg/image_00002.jpg", 0, "val"),
        ("jpg/image_00002.jpg", 0, "test"),
        ("jpg/image_00003.jpg", 1, "test"),
    ]


@pytest.mark.slow
def test_flowers_that_are_not_to_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import Flowers102

    monkeypatch.setattr(Flowers102, "_download_url_prefix", NOWHERE)
    assert message_of(DataSpec(source="flowers102"), tmp_path) == (
        f"source flowers102 must be in {tmp_path / 'flowers102'} with an index.csv, or be "
        "fetched, but 127.0.0.1:9 does not answer;"
        " give the folder that holds flowers102 as the data folder."
    )
    resolved, data_set = load_data(
        DataSpec(source="flowers102", fallback="rendered_flowers"),
        data_dir=tmp_path,
        allow_fallback=True,
    )
    assert (resolved.source, data_set.facts.is_fallback) == ("rendered_flowers", True)


# textile


@pytest.mark.slow
def test_textile() -> None:
    _, data_set = load_data(
        DataSpec(source="textile", **DRAWN), data_dir=Path("unused"), allow_fallback=False
    )
    assert data_set.facts.class_names == ("nominal", "local", "global")
    assert data_set.facts.class_counts == {
        "train": (600, 300, 300),
        "val": (200, 100, 100),
        "test": (200, 100, 100),
    }
    assert data_set.splits["val"].read(0).size == (250, 250)


# torchvision


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + b"".join(
        struct.pack(">I", n) for n in array.shape
    )
    path.write_bytes(header + array.tobytes())
    with gzip.open(f"{path}.gz", "wb") as file:
        file.write(b"")


def test_a_data_set_of_torchvision(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = {
        "train": rng.integers(0, 256, (60, 28, 28), dtype=np.uint8),
        "t10k": rng.integers(0, 256, (20, 28, 28), dtype=np.uint8),
    }
    for name, array in images.items():
        raw = tmp_path / "FashionMNIST" / "raw"
        write_idx(raw / f"{name}-images-idx3-ubyte", array)
        write_idx(raw / f"{name}-labels-idx1-ubyte", np.arange(len(array), dtype=np.uint8) % 10)
    spec = DataSpec(source="torchvision:FashionMNIST", **DRAWN)
    resolved, data_set = load_data(spec, data_dir=tmp_path, allow_fallback=False)
    assert resolved == spec
    assert data_set.facts.class_names[0] == "T-shirt/top"
    assert [len(data_set.splits[split].labels) for split in ("train", "val", "test")] == [
        45,
        15,
        20,
    ]
    test = data_set.splits["test"]
    assert test.image_ids[3] == "test/000003"
    np.testing.assert_array_equal(
        np.asarray(test.read(3)), np.asarray(Image.fromarray(images["t10k"][3]).convert("RGB"))
    )


def test_a_data_set_of_torchvision_that_is_not_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    download = torchvision_named.DOWNLOADS["CIFAR10"]
    monkeypatch.setitem(
        torchvision_named.DOWNLOADS,
        "CIFAR10",
        torchvision_named.Download(NOWHERE, download.argument, download.splits),
    )
    assert message_of(DataSpec(source="torchvision:CIFAR10", **DRAWN), tmp_path) == (
        f"source torchvision:CIFAR10 must be below the data folder {tmp_path} or be fetched, "
        "but 127.0.0.1:9 does not answer; copy it there by hand."
    )


def test_an_unknown_data_set_of_torchvision(tmp_path: Path) -> None:
    names = ", ".join(torchvision_named.DOWNLOADS)
    message = message_of(DataSpec(source="torchvision:CIFAR-10"), tmp_path)
    assert (
        message
        == f"torchvision:<Name> must name one of {names}, got 'CIFAR-10'; did you mean CIFAR10?"
    )


def test_every_named_data_set_exists() -> None:
    import torchvision

    assert len(torchvision_named.DOWNLOADS) == 15
    assert all(hasattr(torchvision.datasets, name) for name in torchvision_named.DOWNLOADS)


def test_a_closed_port_and_an_odd_scheme_are_not_reachable() -> None:
    assert not is_reachable(NOWHERE)
    assert not is_reachable("file:///etc/hostname")
