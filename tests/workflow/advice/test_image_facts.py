"""Facts of images that are there."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablate.data.dataset import DataSet, load_data
from ablate.study.trial import DataSpec
from ablate.workflow.advice.image_facts import image_facts, seen_positions


def _write(folder: Path, names: dict[str, int], *, size: tuple[int, int], grey: bool) -> None:
    rng = np.random.default_rng(0)
    for name, n_images in names.items():
        (folder / name).mkdir(parents=True)
        for number in range(n_images):
            pixels = rng.integers(0, 255, size=(size[1], size[0], 3), dtype=np.uint8)
            if grey:
                pixels = np.repeat(pixels[:, :, :1], 3, axis=2)
            Image.fromarray(pixels).save(folder / name / f"part{number // 2:02d}_{number}.png")


def _load(tmp_path: Path, **named: object) -> tuple[DataSpec, DataSet]:
    spec = DataSpec.model_validate(
        {
            "source": "folder",
            "path": "pictures",
            "split_seed": 0,
            "fractions": {"train": 0.6, "val": 0.2, "test": 0.2},
            **named,
        }
    )
    return load_data(spec, data_dir=tmp_path, allow_fallback=False)


def test_sizes_shapes_and_counts(tmp_path: Path) -> None:
    _write(tmp_path / "pictures", {"good": 20, "scratch": 10}, size=(60, 20), grey=True)
    facts = image_facts(*_load(tmp_path))
    assert facts.n_images == 30
    assert facts.train_counts == {"good": 12, "scratch": 6}
    assert facts.median_size == (60, 20)
    assert facts.aspect_quantiles == (3.0, 3.0, 3.0)
    assert facts.is_grey
    assert facts.seeks_small_signs
    assert facts.may_flip
    assert not facts.has_own_split
    assert not facts.has_groups


def test_groups_are_counted_over_all_splits(tmp_path: Path) -> None:
    _write(tmp_path / "pictures", {"a": 20, "b": 20}, size=(20, 20), grey=False)
    facts = image_facts(*_load(tmp_path, group_by="(part[0-9]+)_"))
    assert facts.n_groups == 10
    assert facts.images_a_group == 4.0
    assert not facts.is_grey


@pytest.mark.parametrize(("n_images", "n_seen"), [(10, 12), (100, 20)])
def test_positions_are_spread_evenly(tmp_path: Path, n_images: int, n_seen: int) -> None:
    _write(tmp_path / "pictures", {"a": n_images, "b": n_images}, size=(8, 8), grey=False)
    train = _load(tmp_path)[1].splits["train"]
    positions = seen_positions(train, 20)
    assert len(positions) == n_seen
    gaps = {later - former for former, later in pairwise(positions)}
    n_images_each = len(train.image_ids) / n_seen
    assert all(abs(gap - n_images_each) < 1 for gap in gaps)
