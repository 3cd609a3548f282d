"""Colours of views: torchvision's arithmetic to the last bit, in a fraction of its time.

Each function gives the pixels of its namesake in torchvision.transforms.v2.functional (a test
compares them, the hue for all 16.7 million colours). What costs time there is not the arithmetic:
at 224 pixels torch chooses between two planes in 170 microseconds and adds them in 2 to 4. So masks
are bytes and choices are bit operations, what stays whole numbers stays a float between two
functions, and hue is computed for the one channel of a pixel that it moves, not for all three.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# ITU-R 601-2, as torchvision has it.
_RED, _GREEN, _BLUE = 0.2989, 0.587, 0.114
_TINY = 1e-3
"""Below the least difference of two channels, 1 / 255; in its place, 0 / 0 is 0."""
_TO_BYTE = 255.999
"""A channel in [0, 1] times this, cut off, is its byte."""


class _Ranked(NamedTuple):
    """The channels of each pixel by their size, (S, S) uint8 each."""

    low: Tensor
    middle: Tensor
    high: Tensor
    sixth: Tensor
    """What hue counts from, in sixths of the circle: the nearest pure colour, 0 to 5."""
    is_above: Tensor
    """0 or 1: whether the hue lies above it in the circle."""


def brightness(image: Tensor, factor: float) -> Tensor:
    """(3, S, S) uint8 -> (3, S, S) uint8."""
    return as_bytes(_brightened(_as_floats(image), factor))


def contrast(image: Tensor, factor: float) -> Tensor:
    """(3, S, S) uint8 -> (3, S, S) uint8."""
    return as_bytes(_contrasted(_as_floats(image), factor))


def saturation(image: Tensor, factor: float) -> Tensor:
    """(3, S, S) uint8 -> (3, S, S) uint8."""
    return as_bytes(_saturated(_as_floats(image), factor))


def jittered(image: Tensor, gains: tuple[float, float, float], turn: float) -> Tensor:
    """Brightness, contrast and saturation times `gains`, then hue: (3, S, S) uint8 -> the same."""
    # A fixed order of the four, where torchvision's ColorJitter draws one.
    of_brightness, of_contrast, of_saturation = gains
    values = _brightened(_as_floats(image), of_brightness)
    values = _contrasted(values, of_contrast)
    values = _saturated(values, of_saturation)
    return hue(as_bytes(values), turn)


def solarize(image: Tensor, threshold: float) -> Tensor:
    """Invert what is not below the threshold: (3, S, S) uint8 -> (3, S, S) uint8."""
    # In float32, as a comparison of bytes with a number is.
    least = math.ceil(np.float32(threshold))
    if least > 255:
        return image.clone()
    return image ^ _mask(image >= least)


def hue(image: Tensor, turn: float) -> Tensor:
    """Turn hue by a share of the circle, in [-0.5, 0.5]: (3, S, S) uint8 -> (3, S, S) uint8.

    Through HSV and back. The highest channel of a pixel is its value and the lowest follows from
    saturation, so both are what they were; only which channel has them changes, and the third.
    """
    # value = highest, chroma = highest - lowest, hue = where the middle channel lies between.
    ranked = _ranked(image)
    value = _as_share(ranked.high)
    chroma = value - _as_share(ranked.low)
    saturated = chroma / value.clamp_min(_TINY)
    distance = (value - _as_share(ranked.middle)).div_(chroma.clamp_min_(_TINY))
    sixths = _turned(distance, ranked, turn)
    # The sixth of the circle, and how far into it.
    whole = sixths.floor()
    within = sixths.sub_(whole)
    sector = whole.to(torch.int8).view(torch.uint8)  # 6 is 0
    is_odd = sector & 1
    falling = is_odd.float()
    # q = (1 - s f) v in odd sectors, t = ((1 - s) + s f) v in even ones
    third = within.mul_(saturated).mul_(1 - 2 * falling)
    third.add_(1 - saturated.mul_(1 - falling)).mul_(value).mul_(_TO_BYTE)
    return _placed(ranked, as_bytes(third), sector, is_odd)


def _turned(distance: Tensor, ranked: _Ranked, turn: float) -> Tensor:
    """Hue in [0, 6], turned, from how far the middle channel is from the highest."""
    above = ranked.is_above.float()
    sixths = distance.mul_(2 * above - 1).add_(ranked.sixth.float()).sub_(above)
    share = sixths.mul_(1 / 6).add_(1.0).frac_().add_(turn)
    return share.sub_(share.floor()).mul_(6)


def _ranked(image: Tensor) -> _Ranked:
    # Each pixel's channels sorted by two maxima and two minima, without a sort.
    red, green, blue = image.unbind(0)
    high = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    # bytes wrap around, and back again
    middle = (red + green).add_(blue).sub_(high).sub_(low)
    # Of equal channels red counts as the highest, then green: torchvision's order.
    is_red = _as_bit(red == high)
    is_green = _as_bit(green == high) & (is_red ^ 1)
    is_blue = (is_red | is_green) ^ 1
    is_above = _as_bit(green <= blue).mul_(is_red)
    is_above |= _as_bit(blue <= red).mul_(is_green)
    is_above |= _as_bit(red <= green).mul_(is_blue)
    # red 0, green 2, blue 4; what lies below comes from the next odd one
    sixth = is_green.mul_(2).add_(is_blue.mul_(4)).add_(is_above ^ 1)
    return _Ranked(low, middle, high, sixth, is_above)


def _placed(ranked: _Ranked, third: Tensor, sector: Tensor, is_odd: Tensor) -> Tensor:
    """Give every channel its byte, by the sector of the circle: (S, S) uint8 -> (3, S, S) uint8.

    | sector | red   | green | blue  |
    |--------|-------|-------|-------|
    | 0      | high  | third | low   |
    | 1      | third | high  | low   |
    | 2      | low   | high  | third |
    | 3      | low   | third | high  |
    | 4      | third | low   | high  |
    | 5      | high  | low   | third |

    In pairs of sectors, with `first, second = high, third` where even and the other way round where
    odd: (first, second, low), (low, first, second), (second, low, first).
    """
    # Choices as bit operations: a ^ ((a ^ b) & mask) is b where mask has all bits, else a.
    low = ranked.low
    swapped = (ranked.high ^ third) & _mask(is_odd)
    first = ranked.high ^ swapped
    second = third ^ swapped
    bit_1 = (sector >> 1) & 1
    bit_2 = sector >> 2
    differ = bit_1 ^ bit_2  # 6 has both, and is of the first pair again
    is_second_pair = _mask(bit_1 & differ)
    is_third_pair = _mask(bit_2 & differ)
    first_second = first ^ second
    first_low = first ^ low
    second_low = second ^ low
    red = first ^ (first_low & is_second_pair) ^ (first_second & is_third_pair)
    green = second ^ (first_second & is_second_pair) ^ (second_low & is_third_pair)
    blue = low ^ (second_low & is_second_pair) ^ (first_low & is_third_pair)
    return torch.stack((red, green, blue))


def _brightened(values: Tensor, factor: float) -> Tensor:
    return _cut_off(values.mul_(factor))


def _contrasted(values: Tensor, factor: float) -> Tensor:
    # One number for the whole image; how torch sums it depends on the number of threads.
    mean = torch.mean(_grey(values), dim=(-3, -2, -1), keepdim=True)
    return _blended(values, mean, factor)


def _saturated(values: Tensor, factor: float) -> Tensor:
    return _blended(values, _grey(values), factor)


def _blended(values: Tensor, other: Tensor, factor: float) -> Tensor:
    return _cut_off(values.mul_(factor).add_(other, alpha=1.0 - factor))


def _grey(values: Tensor) -> Tensor:
    """(3, S, S) -> (1, S, S), whole numbers."""
    red, green, blue = values.unbind(0)
    grey = red.mul(_RED).add_(green, alpha=_GREEN).add_(blue, alpha=_BLUE)
    return grey.floor_().unsqueeze(0)


def _cut_off(values: Tensor) -> Tensor:
    """What a conversion to bytes would leave, as floats."""
    return values.clamp_(0, 255).floor_()


def _as_floats(image: Tensor) -> Tensor:
    """A copy, in contiguous planes."""
    return torch.empty(image.shape).copy_(image)


def _as_share(channel: Tensor) -> Tensor:
    """Bytes -> floats in [0, 1]."""
    return channel.float().mul_(1 / 255)


def as_bytes(values: Tensor) -> Tensor:
    """Floats in [0, 256), cut off; by way of NumPy, which is four times faster at that."""
    return torch.from_numpy(values.numpy().astype(np.uint8))


def _as_bit(condition: Tensor) -> Tensor:
    """False and True -> 0 and 1."""
    return condition.view(torch.uint8)


def _mask(bit: Tensor) -> Tensor:
    """0 and 1 -> no bits and all bits."""
    return bit.view(torch.uint8).neg()
