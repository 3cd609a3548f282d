"""What identifies data sets stays: fingerprints, ids and labels are those of version 0.7."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from ablate.data.dataset import load_data
from ablate.study.trial import DataSpec, Fractions, Sizes, TaskName

HALVES: dict[str, Any] = {"split_seed": 3, "fractions": Fractions(train=0.5, val=0.25, test=0.25)}
NAMES = ("Rot", "blau", "10", "9")


def _write(path: Path, *colour: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"P6 2 2 255\n" + bytes(colour) * 4)


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    for split, n in (("train", 5), ("val", 3), ("test", 3)):
        for c, name in enumerate(NAMES):
            for i in range(n):
                _write(
                    tmp_path / "split" / split / name / f"{i}.ppm", len(split) * 20 + i, c * 40, 7
                )
    for c, name in enumerate(NAMES):
        for i in range(8):
            _write(tmp_path / "plain" / name / f"{i}.PPM", i * 9, c * 40, 9)
        _write(tmp_path / "plain" / name / "deep" / "er" / "x.ppm", 200, c * 40, 9)
        for i in range(6):
            _write(tmp_path / "two" / "training" / name / f"{i}.ppm", i * 9, c * 40, 19)
        for i in range(2):
            _write(tmp_path / "two" / "Test" / name / f"{i}.ppm", i * 9, c * 40, 29)
    named = [
        f"plain/{name}/{i}.PPM,{label},{name}"
        for label, name in ((10, "Rot"), (9, "blau"), (1, "10"))
        for i in range(8)
    ]
    (tmp_path / "named.csv").write_text("\n".join(["file,label,class_name", *named]) + "\n")
    rows = [
        f"split/{split}/{name}/{i}.ppm,{name},{split.upper()}"
        for split in ("train", "val", "test")
        for name in ("Rot", "blau", "9")
        for i in range(3)
    ]
    (tmp_path / "splits.csv").write_text("\n".join(["file,label,split", *rows]) + "\n")
    several = [
        f"{i}.PPM," + ";".join(word for word, step in (("x", 2), ("y", 3)) if i % step == 0)
        for i in range(8)
    ]
    (tmp_path / "plain" / "Rot" / "labels.csv").write_text(
        "\n".join(["image,labels", *several]) + "\n"
    )
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "task", "fingerprint", "ids"),
    [
        (
            DataSpec(source="folder", path="split"),
            "classification",
            "8dba170f4f5f9bc9",
            "c27943848c1b41d3",
        ),
        (
            DataSpec(source="folder", path="plain", **HALVES),
            "classification",
            "1d086bc779371247",
            "e738c3e1e6a07060",
        ),
        (
            DataSpec(source="folder", path="two", **HALVES),
            "classification",
            "4d6daa8b6b6a376d",
            "90272569eb41ad49",
        ),
        (
            DataSpec(
                source="folder", path="named.csv", **{**HALVES, "split_seed": 1}, sizes=Sizes(val=4)
            ),
            "classification",
            "d42cbc79f6d36a60",
            "aaa464805064820c",
        ),
        (
            DataSpec(source="folder", path="splits.csv"),
            "classification",
            "cfab5b3d0bd9604b",
            "ec1d00a35ace755f",
        ),
        (
            DataSpec(source="folder", path="plain/Rot", **{**HALVES, "split_seed": 1}),
            "multilabel",
            "e29a48b8c55a5975",
            "dde921f38cfc9528",
        ),
        (
            DataSpec(source="rendered_flowers"),
            "classification",
            "9b62d056663fbdd9",
            "2bb6afb1845f5bcc",
        ),
        (
            DataSpec(source="rendered_bouquets"),
            "multilabel",
            "83f22966237dd46c",
            "ef2510474a3f1f62",
        ),
    ],
)
def test_a_data_set_keeps_its_identity(
    colours: Path, spec: DataSpec, task: TaskName, fingerprint: str, ids: str
) -> None:
    resolved, data_set = load_data(spec, data_dir=colours, allow_fallback=False, task=task)
    assert resolved == spec
    assert data_set.facts.fingerprint[:16] == fingerprint
    rows = [
        f"{name} {image_id} {label}"
        for name, split in data_set.splits.items()
        for image_id, label in zip(split.image_ids, split.labels.tolist(), strict=True)
    ]
    assert hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16] == ids
