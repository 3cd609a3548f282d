"""Sizes of images, and the share of their pixels that networks see."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ablate.data.square import square
from ablate.study.image_shapes import seen_in_words, shapes_of, share_seen, sizes_in_words
from ablate.study.record import DataFacts

SIZES = [(300, 200), (200, 200), (150, 600)]


def test_shapes_are_those_of_the_sizes() -> None:
    shapes = shapes_of(SIZES)
    assert shapes is not None
    assert (shapes.widths.least, shapes.widths.median, shapes.widths.most) == (150, 200, 300)
    assert (shapes.heights.least, shapes.heights.median, shapes.heights.most) == (200, 200, 600)
    assert (shapes.aspects.least, shapes.aspects.median, shapes.aspects.most) == (1, 1.5, 4)
    assert shapes.middle_share == pytest.approx((2 / 3 + 1 + 1 / 4) / 3)
    assert shapes_of([]) is None


@pytest.mark.parametrize("side_share", [1.0, 0.875, 0.5])
@pytest.mark.parametrize("size", SIZES)
def test_the_share_is_what_is_left_when_the_pixels_are_counted(
    size: tuple[int, int], side_share: float
) -> None:
    """Every pixel of the image is a number; those in the crop of the square are counted."""
    width, height = size
    side = min(size)
    numbers = np.arange(width * height, dtype=np.int32).reshape(height, width)
    channels = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], axis=-1)
    image = Image.fromarray(channels.astype(np.uint8))
    # at the image's own resolution nothing is mixed
    kept = square(image, side=side, resample=Image.Resampling.NEAREST)
    edge = round(side * (1 - side_share) / 2)
    seen = kept[edge : side - edge, edge : side - edge].reshape(-1, 3)
    n_seen = len(np.unique(seen, axis=0))
    shapes = shapes_of([size])
    assert shapes is not None
    expected = share_seen(shapes, view="crop", side_share=side_share)
    assert n_seen / (width * height) == pytest.approx(expected, abs=0.01)


def test_whole_images_are_seen_whole() -> None:
    shapes = shapes_of(SIZES)
    assert shapes is not None
    for view in ("pad", "squash"):
        assert share_seen(shapes, view=view, side_share=0.5) == 1


def test_in_words() -> None:
    one = shapes_of([(500, 375)])
    several = shapes_of(SIZES)
    assert one is not None and several is not None
    assert sizes_in_words(one) == "500 x 375 pixels; longer side over shorter 1.33"
    assert sizes_in_words(several) == (
        "200 x 200 pixels (median; 150 to 300 wide, 200 to 600 high); longer side over shorter "
        "1.50 (1.00 to 4.00)"
    )
    assert seen_in_words([0.509]) == "50 %"
    assert seen_in_words([1.0, 0.51]) == "51 to 100 %"


def test_a_record_without_shapes_reads_as_it_did() -> None:
    facts = DataFacts.model_construct(shapes=None, groups=None)  # type: ignore[call-arg]
    assert "shapes" not in facts.model_dump()
