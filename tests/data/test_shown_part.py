"""Whole images: all of an image is in its square, and the middle one is what it always was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import v2

from ablate.data.build_store import build_store
from ablate.data.dataset import load_data
from ablate.data.square import GREY, square
from ablate.data.store import store_key
from ablate.recipe.shown_part import View
from ablate.study.trial import DataSpec

SIDE = 64
WHOLE: tuple[View, ...] = ("squash", "pad")
BICUBIC = Image.Resampling.BICUBIC


def elongated(width: int, height: int, *, defect: tuple[float, float] | None = None) -> Image.Image:
    """A blue image; a defect is a red patch of a tenth of the shorter side, placed by shares."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 2] = 120
    if defect is not None:
        size = max(min(width, height) // 10, 1)
        left = int(defect[0] * (width - size))
        top = int(defect[1] * (height - size))
        pixels[top : top + size, left : left + size] = (255, 0, 0)
    return Image.fromarray(pixels)


def test_a_squashed_image_equals_torchvisions() -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (50, 170, 3), dtype=np.uint8))
    oracle = v2.Resize((SIDE, SIDE), interpolation=v2.InterpolationMode.BICUBIC)(image)
    shown = square(image, side=SIDE, resample=BICUBIC, view="squash")
    np.testing.assert_array_equal(shown, np.asarray(oracle))


@pytest.mark.parametrize(("size", "rows"), [((160, 40), 16), ((40, 160), 16), ((64, 64), 64)])
def test_a_padded_image_keeps_its_shape_in_the_middle(size: tuple[int, int], rows: int) -> None:
    shown = square(elongated(*size), side=SIDE, resample=BICUBIC, view="pad")
    is_grey = (shown == GREY).all(axis=-1)
    if size[0] < size[1]:
        is_grey = is_grey.T
    beside = (SIDE - rows) // 2
    assert is_grey[:beside].all() and is_grey[beside + rows :].all()
    assert not is_grey[beside : beside + rows].any()


@settings(deadline=None)
@example((40, 336), (0.0, 0.5), "pad")
@given(
    st.tuples(st.integers(40, 400), st.integers(40, 400)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.sampled_from(WHOLE),
)
def test_a_defect_anywhere_is_seen_in_whole_images(size, defect, view) -> None:
    clean = _redness(square(elongated(*size), side=SIDE, resample=BICUBIC, view=view))
    found = _redness(
        square(elongated(*size, defect=defect), side=SIDE, resample=BICUBIC, view=view)
    )
    assert (found - clean).max() > 0
    # A patch of less than two pixels, as it is shown, is mixed with its neighbours everywhere.
    shrunk = np.full(2, max(size)) if view == "pad" else np.array(size)
    if (max(min(size) // 10, 1) * SIDE / shrunk >= 2).all():
        assert found.max() > 0


def _redness(shown: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Bluish is the surface, grey what stands beside it."""
    return shown[..., 0].astype(np.int64) - shown[..., 2]


def test_the_middle_square_loses_a_defect_at_the_end() -> None:
    image = elongated(160, 40, defect=(0.0, 0.5))
    shown = square(image, side=SIDE, resample=BICUBIC)
    assert (shown[..., 0].astype(int) <= shown[..., 2]).all()


def test_slivers_keep_a_row() -> None:
    for view in WHOLE:
        image = Image.new("RGB", (1, 5_000), "red")
        assert square(image, side=SIDE, resample=BICUBIC, view=view).shape == (SIDE, SIDE, 3)


def test_a_store_has_its_view_in_its_name_and_the_usual_one_has_not() -> None:
    usual = store_key("f", side=16, interpolation="bicubic")
    assert store_key("f", side=16, interpolation="bicubic", view="crop") == usual
    keys = {usual}
    for view in WHOLE:
        keys.add(store_key("f", side=16, interpolation="bicubic", view=view))
    assert len(keys) == 3


def test_a_store_holds_whole_images(plants: Path, tmp_path: Path) -> None:
    spec = DataSpec(source="folder", path="plants", view="pad")
    _, data_set = load_data(spec, data_dir=plants, allow_fallback=False)
    assert data_set.facts.cut_share == 0
    built = build_store(
        data_set, home=tmp_path, side=16, interpolation="bicubic", fine=32, view="pad"
    )
    train = built.split("train")
    for i in range(len(train.image_ids)):
        image = data_set.splits["train"].read(i)
        expected = square(image, side=16, resample=BICUBIC, view="pad")
        np.testing.assert_array_equal(train.images[i], expected)
    assert train.fine is not None
    expected = square(
        data_set.splits["train"].read(0), side=train.fine.shape[1], resample=BICUBIC, view="pad"
    )
    np.testing.assert_array_equal(train.fine[0], expected)
