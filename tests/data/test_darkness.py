"""Pictures that became dark because their range was taken for a wider one are refused or warned
of; dark ones among bright ones are not."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablate.data.darkness import brightest_of, check_depth, peek_brightest
from ablate.data.dataset import load_data
from ablate.errors import DataError
from ablate.study.trial import DataSpec


def _write(root: Path, *, highest: list[int], suffix: str = "png", kind: type = np.uint16) -> None:
    """A set whose 12 images have these highest values, in turn."""
    for number in range(12):
        split, label = ("train", "val", "test")[number % 3], "ab"[number // 3 % 2]
        path = root / "set" / split / label / f"{number}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.linspace(0, highest[number % len(highest)], 48).reshape(6, 8) + number / 100
        Image.fromarray(pixels.astype(kind)).save(path)


def _load(root: Path) -> None:
    load_data(DataSpec(source="folder", path="set"), data_dir=root, allow_fallback=False)


@pytest.mark.parametrize(
    ("suffix", "kind"), [("png", np.uint16), ("tif", np.uint16), ("tif", np.int32)]
)
@pytest.mark.parametrize("highest", [4095, 1023, 255])
def test_a_set_that_uses_twelve_bits_of_sixteen_is_refused(
    tmp_path: Path, suffix: str, kind: type, highest: int
) -> None:
    _write(tmp_path, highest=[highest], suffix=suffix, kind=kind)
    with pytest.raises(DataError) as error:
        _load(tmp_path)
    assert str(error.value) == (
        "images of 16 bits must use their range, 0 to 65535; none of the 12 here has a value above "
        "4095, "
        "as where 12 bits are kept in 16, and all would be trained as black; "
        "scale them, all by the same factor, and save them with 8 bits."
    )


@pytest.mark.parametrize(
    ("suffix", "kind"), [("png", np.uint16), ("tif", np.int32), ("pgm", np.uint16)]
)
def test_dark_images_among_bright_ones_are_taken(tmp_path: Path, suffix: str, kind: type) -> None:
    _write(tmp_path, highest=[4000, 300, 60_000], suffix=suffix, kind=kind)
    _load(tmp_path)


def test_a_format_that_states_its_range_is_not_refused(tmp_path: Path) -> None:
    _write(tmp_path, highest=[4000], suffix="pgm")
    _load(tmp_path)


def test_images_that_cannot_be_read_say_nothing_of_the_range() -> None:
    def fail() -> Image.Image:
        raise DataError("damaged")

    check_depth([fail, fail])
    check_depth([])


def test_the_brightest_level_is_a_value_where_it_is_low() -> None:
    dark, bright = np.full((2, 2, 3), 63, dtype=np.uint8), np.full((2, 2, 3), 128, dtype=np.uint8)
    assert brightest_of([dark // 2, dark]) == 63
    assert brightest_of([dark, bright]) is None
    assert brightest_of([]) is None


def test_the_search_ends_with_the_first_bright_image() -> None:
    n_decoded = 0

    def read(level: int) -> Image.Image:
        nonlocal n_decoded
        n_decoded += 1
        return Image.new("RGB", (2, 2), (level, 0, 0))

    assert peek_brightest([partial(read, 200)] * 1000) is None
    assert n_decoded == 1
    assert peek_brightest([partial(read, 20)] * 1000) == 20
    assert n_decoded == 1 + 16
