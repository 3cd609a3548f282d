"""Augmented views, drawn from counter-based streams: the view of image i in epoch e is the same in every arm, worker and restart.

| level  | crop, share of the area | mirrored | brightness, contrast, saturation | hue     | rotation | a change | erased |
|--------|-------------------------|----------|----------------------------------|---------|----------|----------|--------|
| none   | the middle square       | -        | -                                | -       | -        | -        | -      |
| light  | 0.60 to 1               | 1 in 2   | -                                | -       | -        | -        | -      |
| medium | 0.35 to 1               | 1 in 2   | x 0.7 to 1.3                     | +- 0.02 | +- 15°   | -        | -      |
| strong | 0.20 to 1               | 1 in 2   | x 0.6 to 1.4                     | +- 0.05 | +- 15°   | always   | 1 in 4 |

A crop has a ratio of 3:4 to 4:3 and is resized as the backbone has it; a change is one of `CHANGES`, with a random strength; an erased patch is grey.
A strength between 0 and 1 draws what `strong` draws and goes that share of the way from the clean image to it: crop, colours and angles in between, the change
blended, fewer mirrored, the erased patch smaller. The policies of `data.operations` follow the crop of `light`.
The operations are torchvision.transforms.v2.functional's; their parameters are drawn here, because the classes of v2 draw theirs from torch's global
generator. The stream does not name the level, so a flip in `light` is a flip in `strong`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from ablate.data.operations import GREY
from ablate.data.operations import POLICIES as OPERATION_POLICIES
from ablate.errors import CheckFailed
from ablate.recipe.policy import Policy, policy_of
from ablate.streams import stream


@dataclass(frozen=True, slots=True)
class Level:
    """Strength of one level; the table above in code."""

    area: tuple[float, float]
    """Range of the crop's share of the stored square."""
    jitter: float
    """Brightness, contrast and saturation are multiplied by 1 - jitter to 1 + jitter."""
    hue: float
    """Hue is turned by at most this share of the circle."""
    degrees: float
    has_change: bool
    erase: float
    """Probability of an erased patch."""


CLEAN = Level(area=(1.0, 1.0), jitter=0.0, hue=0.0, degrees=0.0, has_change=False, erase=0.0)


@dataclass(frozen=True, slots=True)
class Frame:
    """What a view is cut to."""

    image_size: int
    margin: int
    """Pixels to the left of and above the clean image in the stored square."""
    extent: int
    """Side of the clean image there."""
    interpolation: InterpolationMode


RESIZED_AS = {
    "nearest": InterpolationMode.NEAREST,
    "bicubic": InterpolationMode.BICUBIC,
    "lanczos": InterpolationMode.BICUBIC,
}
"""A backbone's interpolation -> the nearest that torchvision has for tensors; the others are bilinear."""

LEVELS: dict[str, Level] = {
    "light": Level(area=(0.60, 1.0), jitter=0.0, hue=0.0, degrees=0.0, has_change=False, erase=0.0),
    "medium": Level(
        area=(0.35, 1.0), jitter=0.3, hue=0.02, degrees=15.0, has_change=False, erase=0.0
    ),
    "strong": Level(
        area=(0.20, 1.0), jitter=0.4, hue=0.05, degrees=15.0, has_change=True, erase=0.25
    ),
}
POLICIES = ("none", *LEVELS, *OPERATION_POLICIES)
RATIO = (3 / 4, 4 / 3)
FLIP = 0.5
ERASED_AREA = (0.02, 0.20)

CHANGES: tuple[Callable[[Tensor, float], Tensor], ...] = (
    lambda image, _: image,
    lambda image, _: F.autocontrast(image),
    lambda image, _: F.equalize(image),
    lambda image, x: F.posterize(image, bits=8 - round(4 * abs(x))),
    lambda image, x: F.solarize(image, threshold=255 - 127 * abs(x)),
    lambda image, x: F.adjust_sharpness(image, 1 + 0.9 * x),
    lambda image, x: F.gaussian_blur(image, kernel_size=[5, 5], sigma=[0.1 + 1.4 * abs(x)]),
    lambda image, x: F.affine(
        image, angle=0.0, translate=[0, 0], scale=1.0, shear=[20 * x, 0.0], fill=GREY
    ),
    lambda image, x: F.affine(
        image, angle=0.0, translate=[0, 0], scale=1.0, shear=[0.0, 20 * x], fill=GREY
    ),
    lambda image, x: F.rotate(image, 30 * x, fill=GREY),
)
"""The ten changes of `strong`; each takes a (3, H, W) uint8 image and a strength in [-1, 1]."""


def clean(images: NDArray[np.uint8], indices: Sequence[int], *, image_size: int) -> Tensor:
    """Return the middle squares of `images[indices]`: (N, side, side, 3) uint8 -> (B, 3, image_size, image_size) uint8.

    What val and test see, and what train sees without augmentation.
    """
    start = _margin(images, image_size)
    middle = images[
        np.asarray(indices, dtype=np.int64), start : start + image_size, start : start + image_size
    ]
    return torch.from_numpy(np.ascontiguousarray(middle.transpose(0, 3, 1, 2)))


def views(
    images: NDArray[np.uint8],
    indices: Sequence[int],
    *,
    policy: str,
    image_size: int,
    interpolation: str,
    seed: int,
    epoch: int,
    fine: NDArray[np.uint8] | None = None,
) -> Tensor:
    """Return one augmented view of each of `images[indices]`: (N, side, side, 3) uint8 -> (B, 3, image_size, image_size) uint8.

    The view of image i follows from (policy, image_size, interpolation, seed, epoch, i) alone, whatever else is in the batch. torch's global generator is
    neither read nor moved, so any number of threads may draw views. Crops are cut from `fine`, (N, fine side, fine side, 3), the same squares nearer
    their own resolution, where there is one, and resized once, with the backbone's own `interpolation`, as clean images are: crops that are softer would
    show the network another texture than val's.
    """
    asked = policy_of(policy)
    if isinstance(asked.augment, str) and asked.augment not in POLICIES:
        raise CheckFailed(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}.")
    if policy == "none":
        return clean(images, indices, image_size=image_size)
    margin = _margin(images, image_size)
    level, strength = _level(asked)
    is_cropped = fine is not None and strength > 0 and level.area != CLEAN.area
    source = fine if fine is not None and is_cropped else images
    grown = source.shape[1] / images.shape[1]
    frame = Frame(
        image_size,
        round(margin * grown),
        round(image_size * grown),
        RESIZED_AS.get(interpolation, InterpolationMode.BILINEAR),
    )
    return torch.stack(
        [
            _view(source[i], asked, frame, key=stream(seed, "augment", epoch, int(i)))
            for i in indices
        ]
    )


def _level(policy: Policy) -> tuple[Level, float]:
    """The level that is drawn, and how far a view goes towards it from the clean image."""
    if isinstance(policy.augment, float):
        level, strength = LEVELS["strong"], policy.augment
    elif policy.augment == "none":
        level, strength = CLEAN, 0.0
    else:
        level, strength = (
            LEVELS["light" if policy.augment in OPERATION_POLICIES else policy.augment],
            1.0,
        )
    if policy.erase is not None:
        level = replace(level, erase=policy.erase)
    return level if policy.color_jitter is None else replace(
        level, jitter=policy.color_jitter, hue=policy.color_jitter / 10
    ), strength


def _view(image: NDArray[np.uint8], policy: Policy, frame: Frame, *, key: int) -> Tensor:
    """(side, side, 3) -> (3, image_size, image_size). All parameters are drawn in a fixed order, used or not, so that levels share them."""
    level, strength = _level(policy)
    rng = np.random.Generator(np.random.Philox(key))
    u_flip = rng.random()
    box = _crop_box(image.shape[0], level.area, rng)
    colours = strength if policy.color_jitter is None else 1.0
    gains = 1 + colours * level.jitter * rng.uniform(-1, 1, 3)
    hue, degrees = (
        colours * level.hue * rng.uniform(-1, 1),
        strength * level.degrees * rng.uniform(-1, 1),
    )
    change, amount, is_erased = (
        CHANGES[int(rng.integers(len(CHANGES)))],
        float(rng.uniform(-1, 1)),
        rng.random() < level.erase,
    )
    side = frame.image_size
    top, left, height, width = _toward(
        box, (frame.margin, frame.margin, frame.extent, frame.extent), strength
    )
    cut = torch.from_numpy(
        np.ascontiguousarray(image[top : top + height, left : left + width].transpose(2, 0, 1))
    )
    view: Tensor = (
        cut
        if (height, width) == (side, side)
        else F.resize(cut, [side, side], interpolation=frame.interpolation, antialias=True)
    )
    view = _mirrored(view, policy, u_flip, key=key, strength=strength)
    if level.jitter:
        view = F.adjust_brightness(view, float(gains[0]))
        view = F.adjust_contrast(view, float(gains[1]))
        view = F.adjust_saturation(view, float(gains[2]))
        view = F.adjust_hue(view, float(hue))
    if level.degrees and strength:
        view = F.rotate(view, float(degrees), interpolation=InterpolationMode.BILINEAR, fill=GREY)
    if level.has_change and strength:
        view = _blend(view, change(view, amount), strength)
    if policy.augment in OPERATION_POLICIES:
        view = OPERATION_POLICIES[str(policy.augment)](view, rng)
    return _erase(view, rng, scale=strength if policy.erase is None else 1.0) if is_erased else view


def _mirrored(view: Tensor, policy: Policy, u_flip: float, *, key: int, strength: float) -> Tensor:
    """Flips; a strength below 1 flips fewer images, of those that 1 flips."""
    share = FLIP * (strength if isinstance(policy.augment, float) else 1.0)
    if policy.flip in ("horizontal", "both") and u_flip < share:
        view = F.horizontal_flip(view)
    if (
        policy.flip in ("vertical", "both")
        and np.random.Generator(np.random.Philox(stream(key, "augment", "vertical"))).random()
        < share
    ):
        view = F.vertical_flip(view)
    return view


def _toward(
    drawn: tuple[int, int, int, int], middle: tuple[int, int, int, int], strength: float
) -> tuple[int, int, int, int]:
    """The box that is `strength` of the way from the middle square to the drawn one."""
    if strength == 1.0:
        return drawn
    top, left, height, width = (
        round(a + strength * (b - a)) for a, b in zip(middle, drawn, strict=True)
    )
    return top, left, height, width


def _blend(view: Tensor, changed: Tensor, strength: float) -> Tensor:
    if strength == 1.0:
        return changed
    return torch.lerp(view.float(), changed.float(), strength).round().to(torch.uint8)


def _crop_box(side: int, area: tuple[float, float], rng: Generator) -> tuple[int, int, int, int]:
    """Draw (top, left, height, width) of a crop of a square: area uniform in its range, ratio log-uniform; what does not fit is narrowed to the side."""
    share, place = area[0] + (area[1] - area[0]) * rng.random(), rng.random(2)
    ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
    ratio = min(max(ratio, share), 1 / share)
    width = min(max(round(side * math.sqrt(share * ratio)), 1), side)
    height = min(max(round(side * math.sqrt(share / ratio)), 1), side)
    return int(place[0] * (side - height + 1)), int(place[1] * (side - width + 1)), height, width


def _erase(view: Tensor, rng: Generator, *, scale: float) -> Tensor:
    side = view.shape[-1]
    share, ratio = scale * rng.uniform(*ERASED_AREA), math.exp(rng.uniform(-0.7, 0.7))
    height, width = (
        min(max(round(side * math.sqrt(share * x)), 1), side) for x in (ratio, 1 / ratio)
    )
    top, left = (int(rng.random() * (side - extent + 1)) for extent in (height, width))
    erased: Tensor = F.erase(
        view, top, left, height, width, torch.full((3, 1, 1), int(GREY[0]), dtype=torch.uint8)
    )
    return erased


def _margin(images: NDArray[np.uint8], image_size: int) -> int:
    """Pixels to the left of the middle square, as torchvision's CenterCrop counts them."""
    side = int(images.shape[1])
    if not 1 <= image_size <= side:
        raise CheckFailed(
            f"image_size must be in [1, {side}], the side of the image store, got {image_size}."
        )
    return round((side - image_size) / 2)
