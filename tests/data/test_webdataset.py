"""Shards in tar files: read where they lie, never unpacked, and refused where they are odd."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ablate.data.dataset import DataSet, load_data
from ablate.data.sources import Collection, webdataset
from ablate.errors import DataError
from ablate.study.image_rule import Column
from ablate.study.table_columns import TableColumns
from ablate.study.trial import DataSpec, Fractions

Member = tuple[str, bytes | str]
SPEC = DataSpec(source="webdataset", path="set")


def jpeg(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (number * 9 % 256, number, 200)).save(file, "PNG")
    return file.getvalue()


def write(path: Path, members: Sequence[Member | tarfile.TarInfo]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, content = member
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def samples(kind: str, contents: Sequence[str], *, start: int = 0) -> list[Member]:
    members: list[Member] = []
    for number, content in enumerate(contents, start=start):
        members += [(f"{number:03d}.png", jpeg(number)), (f"{number:03d}.{kind}", content)]
    return members


def collect(data_dir: Path, spec: DataSpec = SPEC) -> Collection:
    return webdataset.collect(spec, data_dir=data_dir)


def message(data_dir: Path, members: Sequence[Any], spec: DataSpec = SPEC) -> str:
    write(data_dir / "set" / "train-000.tar", members)
    with pytest.raises(DataError) as error:
        webdataset.collect(spec, data_dir=data_dir)
    return str(error.value)


def load(data_dir: Path, spec: DataSpec, task: str = "classification") -> DataSet:
    return load_data(spec, data_dir=data_dir, allow_fallback=False, task=task)[1]


@pytest.mark.parametrize(
    ("kind", "contents"),
    [
        ("cls", ["1", "0\n", "10"]),
        ("txt", ["1", " 0", "10"]),
        ("json", ['{"label": 1}', '{"label": 0, "x": []}', '{"label": "10"}']),
    ],
)
def test_a_label_is_in_a_cls_a_json_or_a_txt(
    tmp_path: Path, kind: str, contents: list[str]
) -> None:
    write(tmp_path / "set" / "train-000.tar", samples(kind, contents))
    found = collect(tmp_path)
    assert found.class_names == ("0", "1", "10")
    assert [(item.image_id, item.label, item.split) for item in found.items] == [
        ("train-000/000.png", 1, "train"),
        ("train-000/001.png", 0, "train"),
        ("train-000/002.png", 2, "train"),
    ]


def test_names_of_classes_stand_beside_the_shards(tmp_path: Path) -> None:
    write(tmp_path / "set" / "train" / "000.tar", samples("cls", ["2", "0", "2"]))
    (tmp_path / "set" / "classnames.txt").write_text("fern\nmoss\nrose\n")
    found = collect(tmp_path)
    assert (found.class_names, found.remarks) == (
        ("fern", "rose"),
        ("left out: classes without any image: moss",),
    )
    assert [(item.label, item.split) for item in found.items] == [
        (1, "train"),
        (0, "train"),
        (1, "train"),
    ]


def test_an_image_is_the_bytes_of_its_place(tmp_path: Path) -> None:
    write(tmp_path / "set" / "000.tar", samples("cls", ["0", "1"] * 20))
    items = collect(tmp_path).items
    for number in (39, 0, 17):
        assert items[number].read().getpixel((0, 0)) == (number * 9 % 256, number, 200)


def test_splits_groups_and_labels_come_from_fields_that_are_named(tmp_path: Path) -> None:
    contents = []
    for i in range(18):
        values = {"kind": "ab"[i % 2], "fold": ["train", "val", "test"][i // 6], "plant": f"p{i}"}
        contents.append(json.dumps({**values, "plant": f"p{i // 2}"}))
    write(tmp_path / "set" / "all.tar", samples("json", contents))
    columns = TableColumns(label="kind", split="fold")
    spec = SPEC.model_copy(update={"columns": columns, "group_by": Column(column="plant")})
    data = load(tmp_path, spec)
    assert data.facts.class_counts == {"train": (3, 3), "val": (3, 3), "test": (3, 3)}
    assert data.splits["val"].groups == ("p3", "p3", "p4", "p4", "p5", "p5")


def test_several_labels_are_a_list_in_the_json(tmp_path: Path) -> None:
    contents = [json.dumps({"labels": labels}) for labels in (["b", "a"], [], ["c"])]
    write(tmp_path / "set" / "000.tar", samples("json", contents))
    found = webdataset.collect_several_labels(SPEC, data_dir=tmp_path)
    assert [item.label for item in found.items] == [(0, 1), (), (2,)]


def test_other_files_are_counted_and_never_opened(tmp_path: Path) -> None:
    members = samples("cls", ["0", "1"])
    poison = b"cos\nsystem\n(S'false'\ntR."  # a pickle that would run a command
    members[2:2] = [("000.pyd", poison), ("000.mask.png", b"x"), ("__meta__.json", b"{")]
    write(tmp_path / "set" / "train-000.tar", members)
    found = collect(tmp_path)
    assert len(found.items) == 2
    assert found.remarks == ("note: files in the shards that are not read: 1 .mask.png, 1 .pyd",)


def _link(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return entry


def _device(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.CHRTYPE
    return entry


ODD = "a shard must hold plain files only, '{}' of train-000.tar is a link, a device or sparse; "
NAMES = (
    "names in a shard must be relative paths, printable and without '..', train-000.tar has '{}'; "
)


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ([], "a shard must hold images, train-000.tar holds none; remove it."),
        (
            [("a.cls", "0")],
            "every sample must have an image, 'a' of train-000.tar has none (it has cls); make the "
            "shard again.",
        ),
        (
            [("a.png", jpeg(0))],
            "a sample must have its label in .cls, .json or .txt, 'a' of train-000.tar has none of "
            "them.",
        ),
        (
            [*samples("cls", ["0"]), ("b.png", jpeg(1)), ("b.txt", "1")],
            "every sample must have its label in .cls, as the first one has, 'b' of train-000.tar "
            "has txt.",
        ),
        (
            [("a.png", jpeg(0)), ("a.jpg", jpeg(1)), ("a.cls", "1")],
            "a sample must have one image, 'a' of train-000.tar has two, 'a.png' and 'a.jpg'; keep "
            "one of them, or call the other by a longer suffix (.mask.png), which is not read.",
        ),
        (
            [*samples("cls", ["0", "1"]), *samples("cls", ["0"])],
            "files of one key must stand together in a shard, '000' of train-000.tar comes again "
            "after others; give each sample a key of its own.",
        ),
        (
            [("a.png", jpeg(0)), ("a.cls", "1"), ("a.cls", "2")],
            "a sample must have one file of each kind, 'a.cls' of train-000.tar is twice.",
        ),
        (
            samples("cls", ["0", ""]),
            "a label must be a whole number or a printable text, '001' of train-000.tar has ''; "
            "give every image its label, or leave it out.",
        ),
        (
            samples("cls", ["0", "-1"]),
            "a label must not be negative, '001' of train-000.tar has -1, which stands for an "
            "image without a label; leave such images out.",
        ),
        (
            samples("json", ['{"class": 1}']),
            "the JSON of every sample must have the field 'label', that of '000' of train-000.tar "
            "has class; data.columns names others, e.g. {label: species}.",
        ),
        (
            samples("json", ['{"label": [1]}']),
            "a label must be a whole number or a printable text, '000' of train-000.tar has [1]; "
            "give every image its label, or leave it out.",
        ),
        (
            samples("json", ["[1]"]),
            "'000.json' of train-000.tar must be a JSON object, got list.",
        ),
        (
            samples("txt", ["x" * 70_000]),
            "a label must have at most 65536 bytes, '000.txt' of train-000.tar has 70000.",
        ),
        (
            [("a.png", jpeg(0)), ("a.cls", b"\xff\xfe")],
            "a label must be in UTF-8, 'a.cls' of train-000.tar is not.",
        ),
        ([_link("a.png")], ODD.format("a.png") + "make the shard again."),
        ([_device("a.png")], ODD.format("a.png") + "make the shard again."),
        ([("../a.png", jpeg(0))], NAMES.format("../a.png") + "make the shard again."),
        ([("/etc/a.png", jpeg(0))], NAMES.format("/etc/a.png") + "make the shard again."),
        ([("a\x1b.png", jpeg(0))], NAMES.format("a\\x1b.png") + "make the shard again."),
        (
            samples("cls", ["Fern", "fern"]),
            "classes must differ in more than case, blanks, Unicode form or zeros, data.path set "
            "has 'Fern' and 'fern'; give both one name, or names that differ.",
        ),
    ],
)
def test_an_odd_shard_is_refused(tmp_path: Path, members: list[Any], text: str) -> None:
    assert message(tmp_path, members) == text
    assert list((tmp_path).rglob("*.png")) == []  # nothing was unpacked anywhere


def test_a_label_that_names_no_class(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "classes.txt").write_text("fern\nmoss")
    assert message(tmp_path, samples("cls", ["0", "2"])) == (
        "a label must be a position in the 2 class names, 0 to 1, '001' of train-000.tar has 2; "
        "correct the label or the names."
    )
    assert message(tmp_path, samples("cls", ["0", "rose"])) == (
        "a label must be one of the 2 classes that the data name, '001' of train-000.tar has "
        "'rose'; correct it."
    )


def test_a_sparse_file_is_refused_whatever_size_it_claims(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("a.png")
    entry.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**50)}
    path = tmp_path / "set" / "train-000.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(DataError) as error:
        collect(tmp_path)
    assert str(error.value) == ODD.format("a.png") + "make the shard again."


def test_a_header_of_any_length_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "set" / "train-000.tar"
    path.parent.mkdir()
    entry = tarfile.TarInfo("a.png")
    entry.pax_headers = {"comment": "x" * 2**21}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(entry)
    with pytest.raises(DataError) as error:
        collect(tmp_path)
    assert str(error.value) == (
        "a shard must be a whole tar file, train-000.tar is not, or was cut off; copy it again."
    )


def test_a_shard_that_was_cut_off_damaged_or_packed(tmp_path: Path) -> None:
    path = write(tmp_path / "set" / "train-000.tar", samples("cls", ["0", "1", "0", "1"]))
    whole = path.read_bytes()
    cut = "a shard must be a whole tar file, train-000.tar is not, or was cut off; copy it again."
    for content, text in (
        (whole[:700], cut),
        (b"", cut),
        (b"no tar at all " * 99, cut),
        (
            whole[:1024] + b"x" * 512 + whole[1536:],
            "a shard must be a whole tar file, train-000.tar has a damaged header at byte 1024; "
            "copy it again.",
        ),
        (
            gzip.compress(whole),
            "a shard must be a tar file that is not packed, train-000.tar is; images in it are "
            "packed already: unpack it with gunzip.",
        ),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError) as error:
            collect(tmp_path)
        assert str(error.value) == text


def test_shards_without_a_split_beside_others(tmp_path: Path) -> None:
    for name in ("train-000", "more-000"):
        write(tmp_path / "set" / f"{name}.tar", samples("cls", ["0", "1"]))
    with pytest.raises(DataError) as error:
        collect(tmp_path)
    assert str(error.value) == (
        "all shards must be called after their split (train, val, test), or none of them, these "
        "are not: more-000.tar; rename them, or move them away."
    )


def test_a_folder_without_shards(plants: Path) -> None:
    with pytest.raises(DataError) as error:
        collect(plants, DataSpec(source="webdataset", path="plants"))
    assert str(error.value) == (
        "data.path must be a .tar file or a folder that holds some, plants is neither."
    )


def test_splits_are_drawn_where_shards_have_none(tmp_path: Path) -> None:
    write(tmp_path / "set.tar", samples("cls", ["0", "1"] * 8))
    shares = Fractions(train=0.5, val=0.25, test=0.25)
    spec = DataSpec(source="webdataset", path="set.tar", split_seed=0, fractions=shares)
    facts = load(tmp_path, spec).facts
    assert (facts.title, facts.n_images) == ("set", {"train": 8, "val": 4, "test": 4})
