"""One store of all images, of which each seed sees train, val and test of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablate.data.augment import clean, views
from ablate.data.build_store import build_store
from ablate.data.dataset import DataSet, load_data
from ablate.data.duplicates import near_duplicates
from ablate.data.image_rows import PickedRows
from ablate.data.store import files_of, open_store, verify_store
from ablate.errors import StoreError
from ablate.study.trial import SPLITS, WHOLE, DataSpec

SIDE = 16


@pytest.fixture
def loaded(tmp_path: Path, make_image: Callable[..., Path]) -> DataSet:
    """Two classes of nine images, in three folds; two images of each part."""
    for label, name in enumerate(("moss", "fern")):
        for number in range(9):
            path = tmp_path / "plants" / name / f"part{number // 2 + 10 * label}_{number}.png"
            make_image(path, seed=100 * label + number)
    spec = DataSpec(source="folder", path="plants", folds=3, split_seed=0)
    return load_data(spec, data_dir=tmp_path, allow_fallback=False)[1]


def built(data_set: DataSet, home: Path, fine: int | None = None):
    return build_store(data_set, home=home, side=SIDE, interpolation="bilinear", fine=fine)


def test_each_image_is_decoded_once_for_all_splits(loaded: DataSet, tmp_path: Path) -> None:
    assert loaded.whole is not None
    read = []

    def reading(position: int) -> Image.Image:
        read.append(position)
        assert loaded.whole is not None
        return loaded.whole.read(position)

    counted = replace(loaded, whole=replace(loaded.whole, read=reading))
    store = built(counted, tmp_path)
    assert sorted(read) == list(range(18))
    # Another number of folds is another study of the same pixels.
    spec = DataSpec(source="folder", path="plants", folds=4, split_seed=7)
    other = load_data(spec, data_dir=tmp_path, allow_fallback=False)[1]
    assert built(other, tmp_path).path == store.path
    assert [path.name for path in store.path.glob("*.npy")] == ["all.npy"]
    assert files_of((store.path / "meta.json").read_bytes()) == ("all.npy",)
    verify_store(store.path)


@pytest.mark.parametrize("place", [0, 1, 5])
def test_a_split_has_the_pixels_and_labels_of_its_images(
    loaded: DataSet, tmp_path: Path, place: int
) -> None:
    assert loaded.resplits is not None
    store = open_store(built(loaded, tmp_path, fine=18).path)
    seen = store.with_sides(loaded.resplits.sides(place))
    whole = store.split(WHOLE)
    row_of = {image_id: row for row, image_id in enumerate(whole.image_ids)}
    for split in SPLITS:
        own = seen.split(split)
        items = loaded.resplits.parts(place)[split]
        assert own.image_ids == tuple(item.image_id for item in items)
        assert own.labels.tolist() == [item.label for item in items]
        rows = [row_of[image_id] for image_id in own.image_ids]
        np.testing.assert_array_equal(np.stack(list(own.images)), np.asarray(whole.images)[rows])
        some = [len(rows) - 1, 0]
        expected = clean(np.asarray(whole.images)[rows], some, image_size=12)
        assert clean(own.images, some, image_size=12).equal(expected)
    train = seen.split("train")
    assert train.fine is not None
    rows = [row_of[image_id] for image_id in train.image_ids]
    drawn_as = partial(
        views, policy="medium", image_size=12, interpolation="bilinear", seed=1, epoch=2
    )
    assert whole.fine is not None
    drawn = drawn_as(train.images, [3, 1], fine=train.fine)
    expected = drawn_as(np.asarray(whole.images)[rows], [3, 1], fine=np.asarray(whole.fine)[rows])
    assert drawn.equal(expected)


def test_splits_have_names_of_their_own_and_all_images_one(loaded: DataSet, tmp_path: Path) -> None:
    assert loaded.resplits is not None
    store = open_store(built(loaded, tmp_path).path)
    seen = [store.with_sides(loaded.resplits.sides(place)) for place in range(4)]
    assert len({one.clean_key for one in seen}) == 4
    assert {one.whole_key for one in seen} == {store.whole_key} == {store.clean_key}


def test_sides_of_other_images_are_refused(loaded: DataSet, tmp_path: Path) -> None:
    store = built(loaded, tmp_path)
    with pytest.raises(StoreError, match="must hold all images together for a split of its own"):
        open_store(store.path).with_sides("tve")
    with pytest.raises(StoreError, match="must hold all images together"):
        store.with_sides("t" * 18)


def test_near_duplicates_are_looked_for_among_all_images(
    tmp_path: Path, make_image: Callable[..., Path]
) -> None:
    for label, name in enumerate(("moss", "fern")):
        for number in range(6):
            # The first two of a class are one picture, and so are the last two, of one part.
            seed = 100 * label + {1: 0, 5: 4}.get(number, number)
            part = {5: 4}.get(number, number) + 10 * label
            make_image(tmp_path / "plants" / name / f"part{part:02d}_{number}.png", seed=seed)
    spec = DataSpec(source="folder", path="plants", folds=3, split_seed=0)
    alone = load_data(spec, data_dir=tmp_path, allow_fallback=False)[1]
    found = near_duplicates(built(alone, tmp_path / "alone"))
    assert found is not None
    pairs = {(pair.first_id, pair.second_id) for pair in found.pairs}
    assert found.n_pairs == 4
    assert ("fern/part10_0.png", "fern/part11_1.png") in pairs
    assert {(pair.first_split, pair.second_split) for pair in found.pairs} == {(WHOLE, WHOLE)}
    # A group is never on two sides: its own pictures are no leak.
    by_part = spec.model_copy(update={"group_by": "(part[0-9]+)_"})
    grouped = load_data(by_part, data_dir=tmp_path, allow_fallback=False)[1]
    in_groups = near_duplicates(built(grouped, tmp_path / "grouped"))
    assert in_groups is not None
    assert in_groups.n_pairs == 2


def test_picked_rows_are_read_like_an_array() -> None:
    whole = np.arange(5 * 2 * 2 * 3).reshape(5, 2, 2, 3)
    rows = np.array([4, 0, 2])
    picked = PickedRows(whole, rows)
    array = whole[rows]
    assert picked.shape == array.shape
    assert len(picked) == 3
    assert picked.nbytes == array.nbytes
    for key in (1, -1, slice(1, None), [2, 0], (slice(None), 0), (np.array([1, 2]), slice(1), 1)):
        np.testing.assert_array_equal(picked[key], array[key])
    np.testing.assert_array_equal(np.stack(list(picked)), array)
