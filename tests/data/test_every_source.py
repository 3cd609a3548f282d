"""Every source that ablate has keeps the contract that it ships for others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
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
