"""Tiles: every pixel in exactly one of them, stored as rows, and 1x1 is what it always was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ablate.data.build_store import WantedImages, build_stores
from ablate.data.cut_tiles import cut_tiles, picture, pictures, tile_boxes
from ablate.data.dataset import DataSet, load_data
from ablate.data.duplicates import near_duplicates
from ablate.data.square import square
from ablate.data.store import ImageStore, StoredSplit, store_key, verify_store
from ablate.errors import DataError
from ablate.recipe.tiling import n_tiles_of
from ablate.study.trial import WHOLE, DataSpec

TILES = st.tuples(st.integers(1, 8), st.integers(1, 8)).map(lambda pair: f"{pair[0]}x{pair[1]}")
BICUBIC = Image.Resampling.BICUBIC


@pytest.fixture
def data_set(plants: Path) -> DataSet:
    spec = DataSpec(source="folder", path="plants")
    return load_data(spec, data_dir=plants, allow_fallback=False)[1]


@given(st.integers(8, 200), st.integers(8, 200), TILES)
def test_every_pixel_is_in_exactly_one_tile(width: int, height: int, tiles: str) -> None:
    n_times = np.zeros((height, width), dtype=int)
    sizes = []
    for left, top, right, bottom in tile_boxes(width, height, tiles):
        n_times[top:bottom, left:right] += 1
        sizes.append((right - left, bottom - top))
    assert (n_times == 1).all()
    assert len(sizes) == n_tiles_of(tiles)
    assert np.ptp(np.array(sizes), axis=0).max() <= 1


@given(st.integers(8, 60), st.integers(8, 60), TILES)
def test_tiles_hold_the_pixels_of_the_image(width: int, height: int, tiles: str) -> None:
    pixels = np.arange(width * height * 3, dtype=np.uint32).reshape(height, width, 3)
    image = Image.fromarray((pixels % 251).astype(np.uint8))
    parts = cut_tiles(image, tiles, name="-")
    n_columns = int(tiles[-1])
    rows = []
    for first in range(0, len(parts), n_columns):
        rows.append(np.concatenate([np.asarray(p) for p in parts[first : first + n_columns]], 1))
    np.testing.assert_array_equal(np.concatenate(rows), np.asarray(image))


@pytest.mark.parametrize("fine", [None, 20])
def test_a_store_has_the_tiles_of_an_image_behind_each_other(
    data_set: DataSet, tmp_path: Path, fine: int | None
) -> None:
    wanted = WantedImages(16, "bicubic", fine, "squash", "2x3")
    store = build_stores(data_set, [wanted], home=tmp_path)[wanted]
    verify_store(store.path)
    for name, split in data_set.splits.items():
        stored = store.split(name)
        assert stored.n_tiles == 6
        assert stored.images.shape == (6 * len(split.labels), 16, 16, 3)
        assert stored.image_ids == split.image_ids
        np.testing.assert_array_equal(stored.image_labels, split.labels)
        np.testing.assert_array_equal(stored.labels, np.repeat(split.labels, 6))
        np.testing.assert_array_equal(store.targets(name).array, split.labels)
        for row in range(len(stored.labels)):
            tile = cut_tiles(split.read(row // 6), "2x3", name="-")[row % 6]
            own = square(tile, side=16, resample=BICUBIC, view="squash")
            np.testing.assert_array_equal(stored.images[row], own)
    train = store.split("train")
    assert (train.fine is None) == (fine is None)
    if train.fine is not None:
        assert len(train.fine) == len(train.images)


def test_a_build_that_was_broken_off_goes_on_with_the_tiles_that_are_there(
    data_set: DataSet, tmp_path: Path
) -> None:
    wanted = WantedImages(16, "bicubic", tiles="2x2")

    def stop(n_done: int, n_all: int) -> None:
        if n_done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_stores(data_set, [wanted], home=tmp_path / "broken", on_progress=stop)
    store = build_stores(data_set, [wanted], home=tmp_path / "broken")[wanted]
    whole = build_stores(data_set, [wanted], home=tmp_path / "whole")[wanted]
    for file in whole.path.iterdir():
        assert (store.path / file.name).read_bytes() == file.read_bytes(), file.name


def test_an_image_with_fewer_pixels_than_tiles_is_named(tmp_path: Path) -> None:
    image = Image.new("RGB", (1, 40))
    with pytest.raises(DataError) as error:
        cut_tiles(image, "2x2", name="thin.png")
    assert str(error.value) == (
        "an image must have a pixel for each of its 2x2 tiles, got 1 x 40: thin.png; leave it "
        "out, or ask for fewer tiles."
    )


def test_a_picture_is_its_tiles_beside_each_other(data_set: DataSet, tmp_path: Path) -> None:
    tiled = WantedImages(16, "bicubic", None, "squash", "2x3")
    whole = WantedImages(16, "bicubic", None, "squash")
    stores = build_stores(data_set, [tiled, whole], home=tmp_path)
    split = stores[tiled].split("val")
    joined = picture(split, 1)
    assert joined.shape == (32, 48, 3)
    np.testing.assert_array_equal(joined[16:32, 32:48], split.images[6 + 5])
    assert pictures(split, side=24).shape == (len(split.image_ids), 24, 24, 3)
    plain = stores[whole].split("val")
    assert pictures(plain, side=24) is plain.images
    np.testing.assert_array_equal(picture(plain, 1), plain.images[1])


def test_stores_without_tiles_keep_their_names() -> None:
    # written down before there were tiles
    key = store_key("f" * 64, side=32, interpolation="bicubic")
    assert key == store_key("f" * 64, side=32, interpolation="bicubic", tiles=None)
    assert key != store_key("f" * 64, side=32, interpolation="bicubic", tiles="2x2")


def test_duplicates_are_looked_for_among_whole_images(data_set: DataSet, tmp_path: Path) -> None:
    """Tiles of plain background are alike in any two images, which are none for that."""
    ramp = Image.linear_gradient("L").convert("RGB")
    drawn = np.random.default_rng(0).integers(0, 256, size=(100, 24, 24, 3), dtype=np.uint8)

    def reading(first: int) -> Callable[[int], Image.Image]:
        def read(position: int) -> Image.Image:
            image = Image.fromarray(drawn[first + position]).resize((48, 48))
            image.paste(ramp.resize((24, 24)), (0, 0))
            return image

        return read

    splits = {}
    for number, (name, split) in enumerate(data_set.splits.items()):
        splits[name] = replace(split, read=reading(30 * number))
    wanted = WantedImages(24, "bicubic", tiles="2x2")
    store = build_stores(replace(data_set, splits=splits), [wanted], home=tmp_path)[wanted]
    np.testing.assert_array_equal(store.split("train").images[0], store.split("val").images[0])
    found = near_duplicates(store)
    assert found is not None and found.n_pairs == 0

    # and an image that is in two splits is found, by its own name
    splits["val"] = replace(splits["val"], read=splits["train"].read)
    again = replace(data_set, splits=splits)
    store = build_stores(again, [wanted], home=tmp_path / "copies")[wanted]
    found = near_duplicates(store)
    assert found is not None and found.n_pairs == len(splits["val"].image_ids)
    assert {pair.second_id for pair in found.pairs} == set(splits["val"].image_ids)


def test_a_split_of_each_seed_takes_all_tiles_of_its_images() -> None:
    images = np.arange(5 * 6, dtype=np.uint8).repeat(4 * 4 * 3).reshape(30, 4, 4, 3)
    whole = StoredSplit(
        images=images,
        labels=np.repeat([0, 1, 0, 1, 1], 6),
        image_ids=("a", "b", "c", "d", "e"),
        groups=("x", "x", "y", "y", "z"),
        tiles="2x3",
    )
    store = ImageStore(Path("abc"), 4, ("no", "yes"), {WHOLE: whole}).with_sides("tvtet")
    train = store.split("train")
    assert train.image_ids == ("a", "c", "e")
    assert train.groups == ("x", "y", "z")
    np.testing.assert_array_equal(train.image_labels, [0, 0, 1])
    np.testing.assert_array_equal(store.targets("train").array, [0, 0, 1])
    rows = [*range(6), *range(12, 18), *range(24, 30)]
    np.testing.assert_array_equal(train.rows, rows)
    np.testing.assert_array_equal([image[0, 0, 0] for image in train.images], rows)
    np.testing.assert_array_equal(picture(train, 1), picture(whole, 2))
