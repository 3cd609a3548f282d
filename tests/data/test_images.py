from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ablate.data.images import read_image
from ablate.errors import DataError

DAMAGED = (
    "an image must be a whole JPEG, PNG, BMP, GIF, TIFF, WebP or PPM file, got a damaged "
    "one: rose/a.jpg; replace or remove it."
)


def test_a_truncated_image_is_named(tmp_path: Path, make_image: Callable[..., Path]) -> None:
    path = make_image(tmp_path / "a.jpg", size=(64, 64))
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match=f"^{re.escape(DAMAGED)}$"):
        read_image(path, name="rose/a.jpg")


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xffnot an image")
    with pytest.raises(DataError, match=f"^{re.escape(DAMAGED)}$"):
        read_image(tmp_path / "a.jpg", name="rose/a.jpg")


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_image(tmp_path / "a.jpg", name="rose/a.jpg")
    assert (
        str(error.value)
        == "an image must exist, this one does not: rose/a.jpg; correct its name or leave it out "
        "of the index."
    )


def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (10_000, 7_000)).save(tmp_path / "a.png")
    with pytest.raises(DataError) as error:
        read_image(tmp_path / "a.png", name="a.png")
    assert (
        str(error.value)
        == "an image must have at most 60000000 pixels, got 10000 x 7000: a.png; scale it down."
    )


@pytest.mark.slow
def test_a_bomb_is_refused(tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "a.png")
    with pytest.raises(DataError) as error:
        read_image(tmp_path / "a.png", name="a.png")
    assert (
        str(error.value)
        == "an image must have at most 60000000 pixels, got 400000000: a.png; scale it down."
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow on damaged TIFF tags
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    suffix=st.sampled_from(["jpg", "png", "gif", "bmp", "tiff", "webp", "ppm"]),
    at=st.floats(0, 1),
    junk=st.binary(max_size=40),
    cut=st.booleans(),
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    tmp_path: Path, make_image: Callable[..., Path], suffix: str, at: float, junk: bytes, cut: bool
) -> None:
    path = make_image(tmp_path / f"a.{suffix}")
    whole = path.read_bytes()
    start = int(at * len(whole))
    path.write_bytes(whole[:start] + junk + (b"" if cut else whole[start + len(junk) :]))
    try:
        assert read_image(path, name="a").mode == "RGB"
    except DataError as error:
        assert ": a; " in str(error)


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (200, 0, 0, 0)).save(tmp_path / "a.png")
    assert (
        np.asarray(read_image(tmp_path / "a.png", name="a")).tolist() == [[[255, 255, 255]] * 2] * 2
    )


def test_sixteen_bits_keep_their_range(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16)).save(tmp_path / "a.png")
    assert np.asarray(read_image(tmp_path / "a.png", name="a"))[0, :, 0].tolist() == [0, 128, 255]


def test_an_image_is_turned_upright(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], dtype=np.uint8))
    exif = image.getexif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "a.png", exif=exif)
    assert np.asarray(read_image(tmp_path / "a.png", name="a")).tolist() == [
        [[0, 0, 255], [255, 0, 0]]
    ]
