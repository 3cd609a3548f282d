"""Rotated, sheared and moved images: torchvision's pixels to the last bit, in half its time.

Where a pixel comes from is a matrix product of its place and the transform. torchvision multiplies
(pixels, 3) by (3, 2), which is slow; here (2, 3) is multiplied by (3, pixels), whose sums have the
same order, and the places are kept. Whether a processor's two products agree to the last bit is
seen once for each size: where they do not, torchvision's own functions are used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import grid_sample
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from ablate.data.colours import as_bytes

GREY = [127.0, 127.0, 127.0]
"""What moved images show where they have nothing."""
# Image sizes whose places are kept; a trial has one.
_KEPT_SIDES = 4


class Warp(NamedTuple):
    """An affine transform, as torchvision's `affine` takes it."""

    degrees: float = 0.0
    offsets: tuple[int, int] = (0, 0)
    """In pixels, to the right and down."""
    shear: tuple[float, float] = (0.0, 0.0)
    """In degrees."""
    is_around_corner: bool = False
    """Around the upper left corner instead of the middle."""


def rotate(
    image: Tensor, degrees: float, *, interpolation: InterpolationMode = InterpolationMode.NEAREST
) -> Tensor:
    """Rotate counter-clockwise, and fill with grey: (3, S, S) uint8 -> (3, S, S) uint8."""
    side = image.shape[-1]
    # A quarter turn moves pixels and does not mix them.
    if degrees % 90 == 0 or not _is_exact(side):
        rotated: Tensor = F.rotate(image, degrees, interpolation=interpolation, fill=GREY)
        return rotated
    return _sampled(image, _inverse(Warp(-(degrees % 360)), side), interpolation)


def affine(
    image: Tensor, warp: Warp, *, interpolation: InterpolationMode = InterpolationMode.NEAREST
) -> Tensor:
    """Warp, and fill with grey: (3, S, S) uint8 -> (3, S, S) uint8."""
    side = image.shape[-1]
    if not _is_exact(side):
        warped: Tensor = F.affine(
            image,
            warp.degrees,
            list(warp.offsets),
            1.0,
            list(warp.shear),
            interpolation=interpolation,
            fill=GREY,
            # None is the middle
            center=[0, 0] if warp.is_around_corner else None,
        )
        return warped
    return _sampled(image, _inverse(warp, side), interpolation)


def _sampled(image: Tensor, matrix: Sequence[float], interpolation: InterpolationMode) -> Tensor:
    """Draw each pixel from where `matrix` says: (3, S, S) uint8 -> (3, S, S) uint8."""
    side = image.shape[-1]
    # The fourth channel says how much of a pixel comes from inside the image.
    source = torch.empty((1, 4, side, side))
    source[0, :3] = image
    source[0, 3] = 1.0
    grid = _scaled(matrix, side) @ _places(side)
    # Planes of x and of y, which grid_sample reads as they are.
    planes = grid.view(1, 2, side, side).permute(0, 2, 3, 1)
    drawn = grid_sample(
        source, planes, mode=interpolation.value, padding_mode="zeros", align_corners=False
    )[0]
    colours = drawn[:3]
    inside = drawn[3]
    if interpolation is InterpolationMode.NEAREST:
        # All or nothing, and nothing is 0: a sum instead of a choice.
        colours.add_(inside.neg_().add_(1.0).mul_(GREY[0]))
    else:
        colours.sub_(GREY[0]).mul_(inside).add_(GREY[0])
    return as_bytes(colours.round_())


def _inverse(warp: Warp, side: int) -> list[float]:
    """The first two rows of the matrix from places in the result to places in the image.

    M = T C R Sh C^-1 with T the move, C the centre, R the rotation and Sh the shear, in the order
    of torchvision's sums.
    """
    turn = math.radians(warp.degrees)
    shear_x = math.radians(warp.shear[0])
    shear_y = math.radians(warp.shear[1])
    # from the middle of the image, where the places count from
    center = -0.5 * side if warp.is_around_corner else 0.0
    # Inverted by hand: the determinant of R Sh is 1.
    a = math.cos(turn - shear_y) / math.cos(shear_y)
    b = -math.cos(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) - math.sin(turn)
    c = math.sin(turn - shear_y) / math.cos(shear_y)
    d = -math.sin(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) + math.cos(turn)
    to_x = -center - warp.offsets[0]
    to_y = -center - warp.offsets[1]
    return [d, -b, d * to_x - b * to_y + center, -c, a, -c * to_x + a * to_y + center]


def _scaled(matrix: Sequence[float], side: int) -> Tensor:
    """(2, 3) float32, from pixels to [-1, 1]."""
    return torch.tensor(matrix, dtype=torch.float32).view(2, 3).div_(0.5 * side)


@lru_cache(maxsize=_KEPT_SIDES)
def _places(side: int) -> Tensor:
    """Rows of x, y and 1 of every pixel, from the middle of the image: (3, side * side) float32."""
    # Middles of pixels: of 4 pixels -1.5, -0.5, 0.5 and 1.5.
    line = torch.linspace((1.0 - side) * 0.5, (side - 1.0) * 0.5, steps=side)
    places = torch.ones((3, side, side))
    places[0] = line
    places[1] = line.unsqueeze(-1)
    return places.view(3, side * side)


@lru_cache(maxsize=_KEPT_SIDES)
def _is_exact(side: int) -> bool:
    """Whether this processor's product has the bits of the one that torchvision computes."""
    # Numbers without short binary forms, so that a product in another order shows in the last bit.
    matrix = _scaled(_inverse(Warp(17.3, (3, -5), (11.0, -7.0), is_around_corner=True), side), side)
    places = _places(side)
    theirs = places.t().contiguous().unsqueeze(0).bmm(matrix.t().unsqueeze(0))
    return torch.equal((matrix @ places).t(), theirs[0])
