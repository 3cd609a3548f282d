"""RandAugment, TrivialAugment and AugMix: torchvision's operations and ranges, their parameters drawn from a generator that is handed in.

The classes of torchvision.transforms.v2 draw from torch's global generator, which threads share; the operations here are compared with theirs in the tests.
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

GREY = [127.0, 127.0, 127.0]
"""What moved images show where they have nothing."""
N_BINS, RAND_BIN, RAND_OPERATIONS = 31, 9, 2
MIX_BINS, MIX_SEVERITY, MIX_WIDTH = 10, 3, 3

Apply = Callable[[Tensor, float], Tensor]


def _affine(
    image: Tensor, *, translate: tuple[int, int] = (0, 0), shear: tuple[float, float] = (0.0, 0.0)
) -> Tensor:
    center = [0, 0] if any(shear) else None
    moved: Tensor = F.affine(
        image,
        0.0,
        list(translate),
        1.0,
        list(shear),
        interpolation=InterpolationMode.BILINEAR,
        fill=GREY,
        center=center,
    )
    return moved


OPERATIONS: dict[str, Apply] = {
    "Identity": lambda image, _: image,
    "ShearX": lambda image, x: _affine(image, shear=(math.degrees(math.atan(x)), 0.0)),
    "ShearY": lambda image, x: _affine(image, shear=(0.0, math.degrees(math.atan(x)))),
    "TranslateX": lambda image, x: _affine(image, translate=(int(x), 0)),
    "TranslateY": lambda image, x: _affine(image, translate=(0, int(x))),
    "Rotate": lambda image, x: F.rotate(
        image, x, interpolation=InterpolationMode.BILINEAR, fill=GREY
    ),
    "Brightness": lambda image, x: F.adjust_brightness(image, 1 + x),
    "Color": lambda image, x: F.adjust_saturation(image, 1 + x),
    "Contrast": lambda image, x: F.adjust_contrast(image, 1 + x),
    "Sharpness": lambda image, x: F.adjust_sharpness(image, 1 + x),
    "Posterize": lambda image, x: F.posterize(image, bits=round(x)),
    "Solarize": lambda image, x: F.solarize(image, threshold=255 * x),
    "AutoContrast": lambda image, _: F.autocontrast(image),
    "Equalize": lambda image, _: F.equalize(image),
}
"""Name -> (3, H, W) uint8 and a magnitude -> (3, H, W) uint8."""
UNSIGNED = frozenset({"Identity", "Posterize", "Solarize", "AutoContrast", "Equalize"})


@dataclass(frozen=True, slots=True)
class Ranges:
    """Magnitudes at the strongest bin."""

    shear: float
    translate: float
    """Share of the side; above 1: pixels."""
    degrees: float
    enhance: float
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
        return (ranges.translate if ranges.translate > 1 else ranges.translate * side) * share
    if name == "Posterize":
        weakest, strongest = ranges.bits
        return float(round(weakest - (weakest - strongest) * share))
    if name == "Solarize":
        return 1 - share
    return (ranges.degrees if name == "Rotate" else ranges.enhance) * share


def rand_augment(image: Tensor, rng: Generator) -> Tensor:
    """Two operations of one magnitude, 9 of 30: (3, S, S) uint8 -> (3, S, S) uint8."""
    for _ in range(RAND_OPERATIONS):
        image = _drawn(image, RAND_BIN / (N_BINS - 1), RAND, rng)
    return image


def trivial_augment(image: Tensor, rng: Generator) -> Tensor:
    """One operation of any magnitude: (3, S, S) uint8 -> (3, S, S) uint8."""
    return _drawn(image, int(rng.integers(N_BINS)) / (N_BINS - 1), TRIVIAL, rng)


def aug_mix(image: Tensor, rng: Generator) -> Tensor:
    """The image blended with three chains of one to three weak operations: (3, S, S) uint8 -> (3, S, S) uint8."""
    own, chains = rng.beta(1.0, 1.0), rng.dirichlet([1.0] * MIX_WIDTH)
    mixed = image.float() * own
    for weight in chains:
        chain = image
        for _ in range(int(rng.integers(1, 4))):
            chain = _drawn(chain, int(rng.integers(MIX_SEVERITY)) / (MIX_BINS - 1), MIX, rng)
        mixed += chain.float() * ((1 - own) * weight)
    return mixed.round().clamp(0, 255).to(torch.uint8)


POLICIES: dict[str, Callable[[Tensor, Generator], Tensor]] = {
    "randaugment": rand_augment,
    "trivialaugment": trivial_augment,
    "augmix": aug_mix,
}


def _drawn(image: Tensor, share: float, ranges: Ranges, rng: Generator) -> Tensor:
    names = [name for name in OPERATIONS if name != "Identity" or ranges is not MIX]
    name, is_negative = names[int(rng.integers(len(names)))], rng.random() < 0.5
    strength = magnitude(name, share, ranges, side=image.shape[-1])
    return OPERATIONS[name](image, -strength if is_negative and name not in UNSIGNED else strength)
