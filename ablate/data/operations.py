"""RandAugment, TrivialAugment and AugMix: torchvision's operations, drawn from a given generator.

Why not the classes of torchvision.transforms.v2: each operation has the pixels of torchvision's
function, to the last bit (a test compares every one with the class's; `data.colours` and
`data.warps` are only faster), but the classes differ in what they draw.

- They draw from torch's global generator. A view here follows from (seed, epoch, image) alone,
  whatever is drawn before it, so its parameters come from the image's own stream; a class that was
  seeded with that stream would draw other operations, and every view of a study that exists would
  change.
- They take magnitudes from a float32 `linspace`, here they are computed in float64. Given the same
  operation, bin and sign that alone changes views by a grey level: 9 % of RandAugment's, 5 % of
  TrivialAugment's, 6 % of AugMix's (textile photographs at 74 pixels).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from numpy.random import Generator
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from ablate.data.colours import brightness, contrast, saturation, solarize
from ablate.data.warps import Warp, affine, rotate

N_BINS = 31
"""Magnitudes of RandAugment and TrivialAugment, the weakest of which is 0."""
# RandAugment's defaults in torchvision: magnitude 9, two operations.
RAND_BIN = 9
RAND_OPERATIONS = 2
MIX_BINS = 10
MIX_SEVERITY = 3
"""AugMix draws from so many of the weakest bins."""
MIX_WIDTH = 3
"""Chains of operations of AugMix."""
_BILINEAR = InterpolationMode.BILINEAR

Apply = Callable[[Tensor, float], Tensor]


def _shear(image: Tensor, x: float, y: float) -> Tensor:
    angles = (math.degrees(math.atan(x)), math.degrees(math.atan(y)))
    # around the corner, as PIL does it and the papers have it
    around_corner = Warp(shear=angles, is_around_corner=True)
    return affine(image, around_corner, interpolation=_BILINEAR)


def _translate(image: Tensor, x: float, y: float) -> Tensor:
    return affine(image, Warp(offsets=(int(x), int(y))), interpolation=_BILINEAR)


# The order counts: what is drawn is a position in it.
OPERATIONS: dict[str, Apply] = {
    "Identity": lambda image, _: image,
    "ShearX": lambda image, x: _shear(image, x, 0.0),
    "ShearY": lambda image, x: _shear(image, 0.0, x),
    "TranslateX": lambda image, x: _translate(image, x, 0.0),
    "TranslateY": lambda image, x: _translate(image, 0.0, x),
    "Rotate": lambda image, x: rotate(image, x, interpolation=_BILINEAR),
    # 1 + x: a factor of 1 leaves the image as it is, and the sign of x says more or less.
    "Brightness": lambda image, x: brightness(image, 1 + x),
    "Color": lambda image, x: saturation(image, 1 + x),
    "Contrast": lambda image, x: contrast(image, 1 + x),
    "Sharpness": lambda image, x: F.adjust_sharpness(image, 1 + x),
    "Posterize": lambda image, x: F.posterize(image, bits=round(x)),
    "Solarize": lambda image, x: solarize(image, 255 * x),
    "AutoContrast": lambda image, _: F.autocontrast(image),
    "Equalize": lambda image, _: F.equalize(image),
}
"""Name -> (3, H, W) uint8 and a magnitude -> (3, H, W) uint8."""
UNSIGNED = frozenset({"Identity", "Posterize", "Solarize", "AutoContrast", "Equalize"})
"""Operations whose magnitude has no sign."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """Magnitudes at the strongest bin."""

    shear: float
    translate: float
    """Share of the side; above 1: pixels."""
    degrees: float
    enhance: float
    """Brightness, colour, contrast and sharpness are multiplied by 1 - enhance to 1 + enhance."""
    bits: tuple[int, int]
    """Posterize, from the weakest to the strongest."""


RAND = Ranges(0.3, 150 / 331, 30.0, 0.9, (8, 4))
"""Cubuk et al., 2020 (arXiv 1909.13719)."""
TRIVIAL = Ranges(0.99, 32.0, 135.0, 0.99, (8, 2))
"""Müller and Hutter, 2021 (arXiv 2103.10158), wide."""
MIX = Ranges(0.3, 1 / 3, 30.0, 0.9, (4, 0))
"""Hendrycks et al., 2020 (arXiv 1912.02781)."""


def magnitude(name: str, share: float, ranges: Ranges, *, side: int) -> float:
    """Magnitude of an operation at a share in [0, 1] of its range, unsigned."""
    if name.startswith("Shear"):
        return ranges.shear * share
    if name.startswith("Translate"):
        in_pixels = ranges.translate
        # RandAugment and AugMix move by a share of the side, TrivialAugment by up to 32 pixels.
        if ranges.translate <= 1:
            in_pixels *= side
        return in_pixels * share
    if name == "Posterize":
        # fewer bits are stronger, so this range runs downwards
        weakest, strongest = ranges.bits
        return float(round(weakest - (weakest - strongest) * share))
    if name == "Solarize":
        return 1 - share  # a threshold: the lower it is, the more pixels are inverted
    if name == "Rotate":
        return ranges.degrees * share
    return ranges.enhance * share


def rand_augment(image: Tensor, rng: Generator) -> Tensor:
    """Two operations of one magnitude, 9 of 30: (3, S, S) uint8 -> (3, S, S) uint8."""
    for _ in range(RAND_OPERATIONS):
        image = _apply_drawn(image, RAND_BIN / (N_BINS - 1), RAND, rng)
    return image


def trivial_augment(image: Tensor, rng: Generator) -> Tensor:
    """One operation of any magnitude: (3, S, S) uint8 -> (3, S, S) uint8."""
    share = int(rng.integers(N_BINS)) / (N_BINS - 1)
    return _apply_drawn(image, share, TRIVIAL, rng)


def aug_mix(image: Tensor, rng: Generator) -> Tensor:
    """The image blended with three chains of one to three weak operations.

    (3, S, S) uint8 -> (3, S, S) uint8.
    """
    # Both distributions have the parameter 1, as in the paper: every share is equally likely.
    clean_share = rng.beta(1.0, 1.0)
    chain_shares = rng.dirichlet([1.0] * MIX_WIDTH)
    mixed = image.float() * clean_share
    for chain_share in chain_shares:
        chain = image
        for _ in range(int(rng.integers(1, 4))):
            share = int(rng.integers(MIX_SEVERITY)) / (MIX_BINS - 1)
            chain = _apply_drawn(chain, share, MIX, rng)
        mixed += chain.float() * ((1 - clean_share) * chain_share)
    return mixed.round().clamp(0, 255).to(torch.uint8)


POLICIES: dict[str, Callable[[Tensor, Generator], Tensor]] = {
    "randaugment": rand_augment,
    "trivialaugment": trivial_augment,
    "augmix": aug_mix,
}


def _apply_drawn(image: Tensor, share: float, ranges: Ranges, rng: Generator) -> Tensor:
    """Draw an operation and its sign, used or not, and apply it: (3, S, S) uint8 -> the same."""
    names = list(OPERATIONS)
    # AugMix blends with the image itself, and has no Identity
    if ranges is MIX:
        names.remove("Identity")
    name = names[int(rng.integers(len(names)))]
    is_negative = rng.random() < 0.5
    strength = magnitude(name, share, ranges, side=image.shape[-1])
    if is_negative and name not in UNSIGNED:
        strength = -strength
    return OPERATIONS[name](image, strength)
