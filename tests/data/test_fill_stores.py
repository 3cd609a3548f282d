"""Several stores in one pass: each image is decoded once, and pixels are those of stores alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablate.data.build_store import WantedImages, build_store, build_stores
from ablate.data.dataset import DataSet, load_data
from ablate.data.square import square
from ablate.data.store import ImageStore, verify_store
from ablate.errors import DataError
from ablate.study.trial import DataSpec

ReadImage = Callable[[int], Image.Image]
SMALL = WantedImages(8, "bicubic")
WANTED = (
    SMALL,
    WantedImages(16, "bicubic", fine=18),
    WantedImages(16, "bilinear", view="squash"),
    WantedImages(12, "bicubic", fine=14, view="pad"),
)


@dataclass
class Decoded:
    """How often each image was read."""

    counts: Counter[tuple[str, int]] = field(default_factory=Counter)

    def counted(self, data_set: DataSet) -> DataSet:
        """The same images, whose reading is counted."""
        splits = {}
        for name, split in data_set.splits.items():
            splits[name] = replace(split, read=self._read(name, split.read))
        return DataSet(data_set.facts, splits)

    def _read(self, name: str, read: ReadImage) -> ReadImage:
        def counting(i: int) -> Image.Image:
            self.counts[name, i] += 1
            return read(i)

        return counting


@pytest.fixture
def data_set(plants: Path) -> DataSet:
    spec = DataSpec(source="folder", path="plants")
    return load_data(spec, data_dir=plants, allow_fallback=False)[1]


def assert_equal(store: ImageStore, alone: ImageStore) -> None:
    assert store.path.name == alone.path.name
    assert sorted(path.name for path in store.path.iterdir()) == sorted(
        path.name for path in alone.path.iterdir()
    )
    for file in alone.path.iterdir():
        assert (store.path / file.name).read_bytes() == file.read_bytes(), file.name


def alone(data_set: DataSet, one: WantedImages, home: Path) -> ImageStore:
    return build_store(
        data_set,
        home=home,
        side=one.side,
        interpolation=one.interpolation,
        fine=one.fine,
        view=one.view,
    )


def test_stores_built_together_are_those_built_alone(data_set: DataSet, tmp_path: Path) -> None:
    stores = build_stores(data_set, WANTED, home=tmp_path / "together")
    assert tuple(stores) == WANTED
    for number, one in enumerate(WANTED):
        assert_equal(stores[one], alone(data_set, one, tmp_path / f"alone-{number}"))
        verify_store(stores[one].path)


def test_each_image_is_decoded_once_for_all_stores(data_set: DataSet, tmp_path: Path) -> None:
    decoded = Decoded()
    without_crops = [replace(one, fine=None) for one in WANTED]
    progress: list[tuple[int, int]] = []
    build_stores(
        decoded.counted(data_set),
        without_crops,
        home=tmp_path,
        on_progress=lambda done, n_all: progress.append((done, n_all)),
    )
    n_images = sum(len(split.labels) for split in data_set.splits.values())
    assert len(decoded.counts) == n_images
    assert set(decoded.counts.values()) == {1}
    assert progress == [(done, n_images) for done in range(1, n_images + 1)]


def test_only_stores_that_are_not_there_are_built(data_set: DataSet, tmp_path: Path) -> None:
    there = alone(data_set, SMALL, tmp_path)
    before = (there.path / "meta.json").stat().st_mtime_ns
    decoded = Decoded()
    build_stores(decoded.counted(data_set), WANTED, home=tmp_path)
    assert (there.path / "meta.json").stat().st_mtime_ns == before
    decoded_again = Decoded()
    build_stores(decoded_again.counted(data_set), WANTED, home=tmp_path)
    assert not decoded_again.counts


def test_what_each_store_lacks_after_an_interrupt_is_filled_in(
    data_set: DataSet, tmp_path: Path
) -> None:
    def stop(n_done: int, n_all: int) -> None:
        if n_done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_stores(data_set, WANTED[:2], home=tmp_path / "home", on_progress=stop)
    # one of the two has lost what it had
    first = tmp_path / "home" / "images" / f"{SMALL.key(data_set.facts.fingerprint)}.partial"
    (first / "done.txt").write_text("")
    decoded = Decoded()
    stores = build_stores(decoded.counted(data_set), WANTED, home=tmp_path / "home")
    for number, one in enumerate(WANTED):
        assert_equal(stores[one], alone(data_set, one, tmp_path / f"alone-{number}"))


def test_a_damaged_image_is_named_once_and_nothing_is_left(plants: Path, tmp_path: Path) -> None:
    broken = sorted((plants / "plants").rglob("*.png"))[0]
    broken.write_bytes(broken.read_bytes()[:60])
    spec = DataSpec(source="folder", path="plants")
    _, data_set = load_data(spec, data_dir=plants, allow_fallback=False)
    with pytest.raises(DataError) as error:
        build_stores(data_set, WANTED, home=tmp_path)
    assert str(error.value).count(broken.name) == 1
    assert not [path for path in (tmp_path / "images").iterdir() if path.is_dir()]


def test_sizes_of_images_are_looked_at_once_for_all_stores_with_crops(
    data_set: DataSet, tmp_path: Path
) -> None:
    decoded = Decoded()
    build_stores(decoded.counted(data_set), WANTED, home=tmp_path)
    # at most 32 images of train say what resolution the data have, and are decoded once more
    of_train = [count for (name, _), count in decoded.counts.items() if name == "train"]
    others = [count for (name, _), count in decoded.counts.items() if name != "train"]
    assert set(of_train) == {2}
    assert set(others) == {1}


def test_pixels_of_the_largest_store_are_no_source_for_the_others(
    data_set: DataSet, tmp_path: Path
) -> None:
    """Why each store is resized from the image itself: twice resized is other pixels."""
    stores = build_stores(data_set, WANTED[:2], home=tmp_path)
    large = stores[WANTED[1]].split("train").images[0]
    twice = square(Image.fromarray(large), side=8, resample=Image.Resampling.BICUBIC)
    assert not np.array_equal(twice, stores[SMALL].split("train").images[0])
