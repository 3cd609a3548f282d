"""The fast operations have the pixels of torchvision's, one by one and in whole views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from ablate.data import augment, augment_levels, colours, operations, warps
from ablate.data.augment import views
from ablate.data.warps import GREY, Warp

BILINEAR = InterpolationMode.BILINEAR
NEAREST = InterpolationMode.NEAREST
SIDES = (1, 2, 37, 64, 224)
"""Odd and even, and a size that networks use."""
IMAGES = {
    side: torch.from_numpy(np.random.default_rng(side).integers(0, 256, (3, side, side), np.uint8))
    for side in SIDES
}
GREY_IMAGE = IMAGES[64][:1].expand(3, 64, 64).contiguous()
FACTORS = (0.0, 0.1, 0.6, 0.9999999, 1.0, 1.0000001, 1.4, 1.99, 30.0)


@pytest.mark.slow
@pytest.mark.parametrize("turn", [0.03, -0.0499, 0.0, -1e-9, 1e-9, 0.5, -0.5])
def test_hue_is_turned_as_torchvision_does_for_every_colour_there_is(turn: float) -> None:
    n_seen = 0
    channel = torch.arange(256, dtype=torch.uint8)
    for red in range(0, 256, 16):
        colours_there = torch.cartesian_prod(channel[red : red + 16], channel, channel)
        image = colours_there.t().reshape(3, 1024, 1024).contiguous()
        assert torch.equal(colours.hue(image, turn), F.adjust_hue(image, turn)), red
        n_seen += image[0].numel()
    assert n_seen == 256**3


COLOUR_OPERATIONS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "brightness": (colours.brightness, F.adjust_brightness),
    "contrast": (colours.contrast, F.adjust_contrast),
    "saturation": (colours.saturation, F.adjust_saturation),
}


@pytest.mark.parametrize("name", COLOUR_OPERATIONS)
@pytest.mark.parametrize("factor", FACTORS)
def test_colours_are_torchvisions(name: str, factor: float) -> None:
    ours, theirs = COLOUR_OPERATIONS[name]
    for image in (*IMAGES.values(), GREY_IMAGE):
        before = image.clone()
        assert torch.equal(ours(image, factor), theirs(image, factor))
        assert torch.equal(image, before)


@pytest.mark.parametrize("threshold", [0, 0.4, 1, 127.5, 200, 200.000001, 254.9, 255])
def test_solarize_is_torchvisions(threshold: float) -> None:
    for image in IMAGES.values():
        assert torch.equal(colours.solarize(image, threshold), F.solarize(image, threshold))


def test_a_threshold_above_every_byte_inverts_nothing() -> None:
    assert torch.equal(colours.solarize(IMAGES[37], 255.5), IMAGES[37])


@settings(max_examples=30, deadline=None)
@given(
    degrees=st.one_of(st.floats(-400, 400), st.sampled_from([0.0, -0.0, 90.0, -180.0, 270.0])),
    side=st.sampled_from(SIDES),
    interpolation=st.sampled_from([BILINEAR, NEAREST]),
)
def test_rotations_are_torchvisions(
    degrees: float, side: int, interpolation: InterpolationMode
) -> None:
    image = IMAGES[side]
    expected = F.rotate(image, degrees, interpolation=interpolation, fill=GREY)
    assert torch.equal(warps.rotate(image, degrees, interpolation=interpolation), expected)


WARPS = st.builds(
    Warp,
    degrees=st.floats(-90, 90),
    offsets=st.tuples(st.integers(-40, 40), st.integers(-40, 40)),
    shear=st.tuples(st.floats(-45, 45), st.floats(-45, 45)),
    is_around_corner=st.booleans(),
)


def _torchvisions(image: Tensor, warp: Warp, interpolation: InterpolationMode) -> Tensor:
    center = [0, 0] if warp.is_around_corner else None
    warped: Tensor = F.affine(
        image,
        warp.degrees,
        list(warp.offsets),
        1.0,
        list(warp.shear),
        interpolation=interpolation,
        fill=GREY,
        center=center,
    )
    return warped


@settings(max_examples=30, deadline=None)
@given(
    warp=WARPS,
    side=st.sampled_from(SIDES),
    interpolation=st.sampled_from([BILINEAR, NEAREST]),
)
def test_warps_are_torchvisions(warp: Warp, side: int, interpolation: InterpolationMode) -> None:
    image = IMAGES[side]
    found = warps.affine(image, warp, interpolation=interpolation)
    assert torch.equal(found, _torchvisions(image, warp, interpolation))


def test_a_processor_whose_products_differ_uses_torchvisions_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No pixel is drawn by the fast product there."""

    def never(*_: Any) -> Tensor:
        raise AssertionError

    monkeypatch.setattr(warps, "_is_exact", lambda _: False)
    monkeypatch.setattr(warps, "_sampled", never)
    image = IMAGES[64]
    warp = Warp(10.0, (3, -4), (5.0, 6.0), is_around_corner=True)
    assert torch.equal(warps.affine(image, warp), _torchvisions(image, warp, NEAREST))
    assert torch.equal(warps.rotate(image, 10.0), F.rotate(image, 10.0, fill=GREY))


def _plainly_jittered(image: Tensor, gains: tuple[float, float, float], turn: float) -> Tensor:
    image = F.adjust_brightness(image, gains[0])
    image = F.adjust_contrast(image, gains[1])
    image = F.adjust_saturation(image, gains[2])
    turned: Tensor = F.adjust_hue(image, turn)
    return turned


def _plainly_rotated(
    image: Tensor, degrees: float, *, interpolation: InterpolationMode = NEAREST
) -> Tensor:
    rotated: Tensor = F.rotate(image, degrees, interpolation=interpolation, fill=GREY)
    return rotated


def _plainly_warped(
    image: Tensor, warp: Warp, *, interpolation: InterpolationMode = NEAREST
) -> Tensor:
    return _torchvisions(image, warp, interpolation)


def _plainly_cropped(image: np.ndarray, box: augment.Box, frame: augment.Frame) -> Tensor:
    rows = slice(box.top, box.top + box.height)
    columns = slice(box.left, box.left + box.width)
    crop = torch.from_numpy(np.ascontiguousarray(image[rows, columns].transpose(2, 0, 1)))
    size = [frame.image_size, frame.image_size]
    resized: Tensor = F.resize(crop, size, interpolation=frame.interpolation, antialias=True)
    return resized


def _slow_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's own functions wherever views have a faster one."""
    monkeypatch.setattr(augment, "_cropped", _plainly_cropped)
    monkeypatch.setattr(augment, "jittered", _plainly_jittered)
    for module in (augment, augment_levels, operations):
        monkeypatch.setattr(module, "rotate", _plainly_rotated)
    for module in (augment_levels, operations):
        monkeypatch.setattr(module, "affine", _plainly_warped)
        monkeypatch.setattr(module, "solarize", F.solarize)
    for name, (_, theirs) in COLOUR_OPERATIONS.items():
        monkeypatch.setattr(operations, name, theirs)


WORDS = (*augment_levels.POLICIES, "0.3", "none flip=both", "0.4 color_jitter=0.2 erase=0.5")
N_IMAGES = 40
"""So many that each change of `strong` is drawn."""


def _views(word: str, images: np.ndarray, *, fine: np.ndarray | None) -> Tensor:
    return views(
        images,
        range(len(images)),
        policy=word,
        image_size=64,
        interpolation="bicubic",
        seed=5,
        epoch=1,
        fine=fine,
    )


@pytest.mark.slow
@pytest.mark.parametrize("word", WORDS)
def test_whole_views_are_those_of_torchvisions_functions(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (N_IMAGES, 74, 74, 3), np.uint8)
    finer = rng.integers(0, 256, (N_IMAGES, 148, 148, 3), np.uint8)
    fast = [_views(word, images, fine=fine) for fine in (None, finer)]
    _slow_operations(monkeypatch)
    slow = [_views(word, images, fine=fine) for fine in (None, finer)]
    for one, other in zip(fast, slow, strict=True):
        assert one.shape == (N_IMAGES, 3, 64, 64)
        assert torch.equal(one, other)
