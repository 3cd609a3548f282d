"""Augmented views, drawn from counter-based streams.

The view of image i in epoch e is the same in every arm, worker and restart; how strong it is,
`data.augment_levels` says. The operations are torchvision.transforms.v2.functional's; their
parameters are drawn here, because the classes of v2 draw theirs from torch's global generator. The
stream does not name the level, so a flip in `light` is a flip in `strong`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator, Philox
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from ablate.data.augment_levels import CHANGES, CLEAN, POLICIES, strength_of
from ablate.data.colours import jittered
from ablate.data.image_rows import ImageRows
from ablate.data.operations import POLICIES as OPERATION_POLICIES
from ablate.data.warps import GREY, rotate
from ablate.errors import CheckFailed
from ablate.recipe.policy import Policy, policy_of
from ablate.streams import stream

RESIZED_AS = {
    "nearest": InterpolationMode.NEAREST,
    "bicubic": InterpolationMode.BICUBIC,
    "lanczos": InterpolationMode.BICUBIC,
}
"""A backbone's interpolation -> the nearest that torchvision has for tensors; others are
bilinear."""
# Width / height of a crop, as in torchvision's RandomResizedCrop.
RATIO = (3 / 4, 4 / 3)
# Probability of a mirrored view.
FLIP = 0.5
# Share of the view that an erased patch covers.
ERASED_AREA = (0.02, 0.20)
_LOG_ERASED_RATIO = 0.7
"""An erased patch is at most e ** this times as long as wide, about 2."""


class Box(NamedTuple):
    """A crop, in pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Frame:
    """What a view is cut to."""

    image_size: int
    middle: Box
    """The clean image in the stored square."""
    interpolation: InterpolationMode


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The parameters of one view."""

    u_flip: float
    """In [0, 1)."""
    box: Box
    gains: tuple[float, float, float]
    """Factors of brightness, contrast and saturation."""
    hue: float
    degrees: float
    change: Callable[[Tensor, float], Tensor]
    amount: float
    """Strength of the change, in [-1, 1]."""
    is_erased: bool


def clean(images: ImageRows, indices: Sequence[int], *, image_size: int) -> Tensor:
    """Return the middle squares of `images[indices]`.

    (N, side, side, 3) uint8 -> (B, 3, image_size, image_size) uint8. What val and test see, and
    what train sees without augmentation.
    """
    start = _margin(images, image_size)
    end = start + image_size
    # Copied batch by batch: the images are mapped from disk and stay there.
    middle = images[np.asarray(indices, dtype=np.int64), start:end, start:end]
    return torch.from_numpy(np.ascontiguousarray(middle.transpose(0, 3, 1, 2)))


def views(
    images: ImageRows,
    indices: Sequence[int],
    *,
    policy: str,
    image_size: int,
    interpolation: str,
    seed: int,
    epoch: int,
    fine: ImageRows | None = None,
) -> Tensor:
    """Return one augmented view of each of `images[indices]`.

    (N, side, side, 3) uint8 -> (B, 3, image_size, image_size) uint8. The view of image i follows
    from (policy, image_size, interpolation, seed, epoch, i) alone, whatever else is in the batch;
    torch's global generator is neither read nor moved.

    Crops are cut from `fine`, (N, fine side, fine side, 3), the same squares nearer their own
    resolution, where there is one, and resized once, with the backbone's own `interpolation`, as
    clean images are: crops that are softer would show the network another texture than val's.
    """
    asked = policy_of(policy)
    if isinstance(asked.augment, str) and asked.augment not in POLICIES:
        raise CheckFailed(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}.")
    if policy == "none":
        return clean(images, indices, image_size=image_size)
    level, share = strength_of(asked)
    is_cropped = share > 0 and level.area != CLEAN.area
    source = images
    if fine is not None and is_cropped:
        source = fine
    resized_as = RESIZED_AS.get(interpolation, InterpolationMode.BILINEAR)
    frame = Frame(image_size, _middle_of(source, images, image_size), resized_as)
    drawn = torch.empty((len(indices), 3, image_size, image_size), dtype=torch.uint8)
    for position, i in enumerate(indices):
        # The position in the split, not in the batch: a view is the same in any batch.
        key = stream(seed, "augment", epoch, int(i))
        drawn[position] = _view(source[i], asked, frame, key=key)
    return drawn


def _middle_of(source: ImageRows, images: ImageRows, image_size: int) -> Box:
    """The clean image's square in the pixels of `source`, which is `images` or a finer store."""
    # Both show the same square of an image, at different sides.
    scale = source.shape[1] / images.shape[1]
    start = round(_margin(images, image_size) * scale)
    extent = round(image_size * scale)
    return Box(start, start, extent, extent)


def _view(image: NDArray[np.uint8], policy: Policy, frame: Frame, *, key: int) -> Tensor:
    """(side, side, 3) uint8 -> (3, image_size, image_size) uint8."""
    level, share = strength_of(policy)
    # Philox: a generator for each image costs microseconds, and its stream follows from the key.
    rng = Generator(Philox(key))
    drawn = _draw(policy, side=image.shape[0], rng=rng)
    view = _cropped(image, _toward(drawn.box, frame.middle, share), frame)
    view = _mirrored(view, policy, drawn.u_flip, key=key, share=share)
    # A step that is off is left out whole, so that it leaves every pixel bit for bit as it is.
    if level.jitter:
        view = jittered(view, drawn.gains, drawn.hue)
    if level.degrees and share:
        view = rotate(view, drawn.degrees, interpolation=InterpolationMode.BILINEAR)
    if level.has_change and share:
        view = _blend(view, drawn.change(view, drawn.amount), share)
    if policy.augment in OPERATION_POLICIES:
        view = OPERATION_POLICIES[str(policy.augment)](view, rng)
    # Last: the patch keeps its form and its grey.
    if drawn.is_erased:
        scale = 1.0  # a recipe that names its own rate of erasing means it
        if policy.erase is None:
            scale = share
        view = _erase(view, rng, scale=scale)
    return view


def _draw(policy: Policy, *, side: int, rng: Generator) -> _Drawn:
    """Draw all parameters in a fixed order, used or not, so that levels share them."""
    level, share = strength_of(policy)
    # a recipe that names its own jitter means it, however strong the rest is
    colour_share = 1.0
    if policy.color_jitter is None:
        colour_share = share
    # The order of these draws is a part of every view: a new one goes behind the last.
    u_flip = rng.random()
    # _draw_box takes as many numbers for any range, so what follows is the same in all levels
    box = _draw_box(side, level.area, rng)
    gains = 1 + colour_share * level.jitter * rng.uniform(-1, 1, 3)
    hue = colour_share * level.hue * rng.uniform(-1, 1)
    degrees = share * level.degrees * rng.uniform(-1, 1)
    change = CHANGES[int(rng.integers(len(CHANGES)))]
    amount = float(rng.uniform(-1, 1))
    is_erased = rng.random() < level.erase
    return _Drawn(
        u_flip=u_flip,
        box=box,
        gains=(float(gains[0]), float(gains[1]), float(gains[2])),
        hue=float(hue),
        degrees=float(degrees),
        change=change,
        amount=amount,
        is_erased=is_erased,
    )


def _draw_box(side: int, area: tuple[float, float], rng: Generator) -> Box:
    """Draw a crop of a square: area uniform in its range, ratio log-uniform.

    What does not fit is narrowed to the side.
    """
    # Share of the square that the crop covers.
    share = area[0] + (area[1] - area[0]) * rng.random()
    place = rng.random(2)
    ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
    # A crop that is wider than the image would not have the area that was drawn.
    ratio = min(max(ratio, share), 1 / share)
    # area = share * side^2 and width / height = ratio give both sides
    width = min(max(round(side * math.sqrt(share * ratio)), 1), side)
    height = min(max(round(side * math.sqrt(share / ratio)), 1), side)
    # + 1: the last place counts, and place is below 1
    top = int(place[0] * (side - height + 1))
    left = int(place[1] * (side - width + 1))
    return Box(top, left, height, width)


def _toward(drawn: Box, middle: Box, share: float) -> Box:
    """The box that is `share` of the way from the middle square to the drawn one."""
    if share == 1.0:
        return drawn
    between: list[int] = []
    for start, end in zip(middle, drawn, strict=True):
        between.append(round(start + share * (end - start)))
    return Box(*between)


def _cropped(image: NDArray[np.uint8], box: Box, frame: Frame) -> Tensor:
    """(side, side, 3) uint8 -> (3, image_size, image_size) uint8."""
    rows = slice(box.top, box.top + box.height)
    columns = slice(box.left, box.left + box.width)
    # A copy, as images are mapped read-only; channels side by side are resized in half the time.
    crop = torch.from_numpy(np.array(image[rows, columns])).permute(2, 0, 1)
    size = [frame.image_size, frame.image_size]
    # Untouched pixels stay bit for bit what the clean image has.
    if [box.height, box.width] != size:
        crop = F.resize(crop, size, interpolation=frame.interpolation, antialias=True)
    return crop.contiguous()


def _mirrored(view: Tensor, policy: Policy, u_flip: float, *, key: int, share: float) -> Tensor:
    """Flips; a strength below 1 flips fewer images, of those that 1 flips."""
    probability = FLIP
    if isinstance(policy.augment, float):
        probability *= share
    if policy.flip in ("horizontal", "both") and u_flip < probability:
        view = F.horizontal_flip(view)
    if policy.flip in ("vertical", "both"):
        # a stream of its own: with it, all other draws are as without it
        rng = Generator(Philox(stream(key, "augment", "vertical")))
        if rng.random() < probability:
            view = F.vertical_flip(view)
    return view


def _blend(view: Tensor, changed: Tensor, share: float) -> Tensor:
    if share == 1.0:
        return changed
    # Rounded once, at the end, back to bytes.
    return torch.lerp(view.float(), changed.float(), share).round().to(torch.uint8)


def _erase(view: Tensor, rng: Generator, *, scale: float) -> Tensor:
    """Grey out a patch, (3, S, S) uint8 -> the same (Zhong et al. 2020, arXiv 1708.04896)."""
    side = view.shape[-1]
    # A smaller patch at a lower strength, not a paler one.
    share = scale * rng.uniform(*ERASED_AREA)
    ratio = math.exp(rng.uniform(-_LOG_ERASED_RATIO, _LOG_ERASED_RATIO))
    height = min(max(round(side * math.sqrt(share * ratio)), 1), side)
    width = min(max(round(side * math.sqrt(share * (1 / ratio))), 1), side)
    top = int(rng.random() * (side - height + 1))
    left = int(rng.random() * (side - width + 1))
    grey = torch.full((3, 1, 1), int(GREY[0]), dtype=torch.uint8)
    erased: Tensor = F.erase(view, top, left, height, width, grey)
    return erased


def _margin(images: ImageRows, image_size: int) -> int:
    """Pixels to the left of the middle square, as torchvision's CenterCrop counts them."""
    side = int(images.shape[1])
    if not 1 <= image_size <= side:
        raise CheckFailed(
            f"image_size must be in [1, {side}], the side of the image store, got {image_size}."
        )
    return round((side - image_size) / 2)
