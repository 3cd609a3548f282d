"""Every source that ablate has keeps the contract that it ships for others."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ablate.data.sources import SOURCES_OF
from ablate.testing import SourceContract

N_IMAGES = 6
NAMES = ("fern", "moss", "rose")


def picture(label: int, number: int, *, offset: int = 0) -> Image.Image:
    """A small picture of noise; every one is another."""
    rng = np.random.default_rng((label, number, offset))
    pixels = rng.integers(0, 256, (10 + label, 14, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def draw(path: Path, label: int, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(label, number, offset=len(path.parts[-3])).save(path)


def png(label: int, number: int, *, offset: int) -> bytes:
    file = io.BytesIO()
    picture(label, number, offset=offset).save(file, "PNG")
    return file.getvalue()


def write_table(path: Path) -> None:
    """Write six images of each class, as `datasets` does, in row groups of five."""
    path.parent.mkdir(exist_ok=True)
    offset = sum(path.name.encode())
    rows = []
    for number in range(N_IMAGES):
        for label, name in enumerate(NAMES):
            image = {"bytes": png(label, number, offset=offset), "path": f"{name}_{number}.png"}
            rows.append({"image": image, "label": label, "tags": sorted({0, label})})
    features = {
        "image": {"_type": "Image"},
        "label": {"names": NAMES, "_type": "ClassLabel"},
        "tags": {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "List"},
    }
    table = pa.Table.from_pylist(rows).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    pq.write_table(table, path, row_group_size=5)


def write_shard(path: Path) -> None:
    """Write six images of each class with .cls and .json beside, as `webdataset` does."""
    path.parent.mkdir(exist_ok=True)
    offset = sum(path.name.encode())
    with tarfile.open(path, "w") as tar:
        for number in range(N_IMAGES):
            for label, name in enumerate(NAMES):
                key = f"{name}/{number:05d}"
                tags = json.dumps({"tags": sorted({NAMES[0], name})})
                add(tar, f"{key}.png", png(label, number, offset=offset))
                add(tar, f"{key}.cls", str(label).encode())
                add(tar, f"{key}.json", tags.encode())


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def overwrite(path: Path) -> None:
    """Put zeros in place of the pixels of the first image of a shard."""
    content = path.read_bytes()
    start = content.index(b"IDAT")
    path.write_bytes(content[:start] + b"\0" * 200 + content[start + 200 :])


def cut_short(path: Path) -> None:
    """Leave half of a file, as a broken copy does."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


class TestClassFolders(SourceContract):
    source = "folder"

    def write(self, data_dir: Path) -> Mapping[str, Any]:
        for label, name in enumerate(NAMES):
            for i in range(N_IMAGES):
                draw(data_dir / "plants" / name / f"{i}.png", label, i)
        return {"path": "plants"}

    def damage(self, data_dir: Path) -> None:
        cut_short(data_dir / "plants" / "moss" / "3.png")


class TestSplitFolders(SourceContract):
    source = "folder"

    def write(self, data_dir: Path) -> Mapping[str, Any]:
        for split in ("train", "valid", "testing"):
            for label, name in enumerate(NAMES):
                for i in range(N_IMAGES):
                    draw(data_dir / "plants" / split / name / f"{i}.png", label, i)
        return {"path": "plants"}

    def damage(self, data_dir: Path) -> None:
        cut_short(data_dir / "plants" / "valid" / "moss" / "3.png")


class TestAnIndex(TestClassFolders):
    def write(self, data_dir: Path) -> Mapping[str, Any]:
        super().write(data_dir)
        rows = ["id,where,kind"]
        for name in NAMES:
            rows += [f"{i},{name}/{i}.png,{name}" for i in range(N_IMAGES)]
        (data_dir / "plants" / "all.csv").write_text("\n".join(rows))
        return {"path": "plants/all.csv", "columns": {"image": "where", "label": "kind"}}


class TestSeveralFolders(TestClassFolders):
    def write(self, data_dir: Path) -> Mapping[str, Any]:
        super().write(data_dir)
        for label, name in enumerate(NAMES[1:]):
            for i in range(N_IMAGES):
                draw(data_dir / "more" / name / f"{i}.png", label, i)
        return {"paths": ["plants", "more"]}


class TestLabelledFolder(SourceContract):
    source = "folder"
    task = "multilabel"

    def write(self, data_dir: Path) -> Mapping[str, Any]:
        rows = ["image,labels"]
        for i in range(3 * N_IMAGES):
            draw(data_dir / "birds" / "all" / f"{i}.png", i % 3, i)
            rows.append(f"all/{i}.png,{'wren;tit' if i % 2 else 'tit' if i % 3 else ''}")
        (data_dir / "birds" / "labels.csv").write_text("\n".join(rows))
        return {"path": "birds"}

    def damage(self, data_dir: Path) -> None:
        cut_short(data_dir / "birds" / "all" / "3.png")


class TestParquet(SourceContract):
    source = "parquet"

    def write(self, data_dir: Path) -> Mapping[str, Any]:
        for split, n_shards in (("train", 2), ("validation", 1), ("test", 1)):
            for shard in range(n_shards):
                write_table(data_dir / "hub" / f"{split}-0000{shard}-of-0000{n_shards}.parquet")
        return {"path": "hub"}

    def damage(self, data_dir: Path) -> None:
        overwrite(data_dir / "hub" / "train-00001-of-00002.parquet")


class TestParquetOfSeveralLabels(TestParquet):
    task = "multilabel"

    def write(self, data_dir: Path) -> Mapping[str, Any]:
        super().write(data_dir)
        return {"path": "hub", "columns": {"label": "tags"}}


class TestWebDataset(SourceContract):
    source = "webdataset"

    def write(self, data_dir: Path) -> Mapping[str, Any]:
        for split, n_shards in (("train", 2), ("val", 1), ("test", 1)):
            for shard in range(n_shards):
                write_shard(data_dir / "wds" / f"{split}-00000{shard}.tar")
        return {"path": "wds"}

    def damage(self, data_dir: Path) -> None:
        overwrite(data_dir / "wds" / "train-000001.tar")


class TestWebDatasetOfSeveralLabels(TestWebDataset):
    task = "multilabel"

    def write(self, data_dir: Path) -> Mapping[str, Any]:
        super().write(data_dir)
        return {"path": "wds", "columns": {"label": "tags"}}


class _Drawn(SourceContract):
    is_drawn = True
    __test__ = False

    def write(self, data_dir: Path) -> Mapping[str, Any]:
        return {}


class TestRenderedFlowers(_Drawn):
    source = "rendered_flowers"
    __test__ = True


class TestRenderedBouquets(_Drawn):
    source = "rendered_bouquets"
    task = "multilabel"
    __test__ = True


@pytest.mark.slow
class TestTextile(_Drawn):
    source = "textile"
    __test__ = True


def test_every_source_of_ours_is_here() -> None:
    """But those that are fetched, `flowers102` and `torchvision:<Name>`."""
    tried = set()
    for value in globals().values():
        if isinstance(value, type) and issubclass(value, SourceContract) and "Test" in str(value):
            tried.add((value.task, value.source))
    ours = {("classification", name) for name in SOURCES_OF["one_label"]}
    ours |= {("multilabel", name) for name in SOURCES_OF["several_labels"]}
    assert ours - tried == {("classification", "flowers102")}
