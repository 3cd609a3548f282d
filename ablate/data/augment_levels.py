"""How strong the levels of augmentation are, and how a policy chooses among them.

| level  | crop, share of the area | mirrored | brightness, contrast, saturation | hue     |
|--------|-------------------------|----------|----------------------------------|---------|
| none   | the middle square       | -        | -                                | -       |
| light  | 0.60 to 1               | 1 in 2   | -                                | -       |
| medium | 0.35 to 1               | 1 in 2   | x 0.7 to 1.3                     | +- 0.02 |
| strong | 0.20 to 1               | 1 in 2   | x 0.6 to 1.4                     | +- 0.05 |

`medium` and `strong` are also rotated by up to 15°; `strong` always has a change, and 1 in 4 is
erased. A crop has a ratio of 3:4 to 4:3 and is resized as the backbone has it; a change is one of
`CHANGES`, with a random strength; an erased patch is grey. A strength between 0 and 1 draws what
`strong` draws and goes that share of the way from the clean image to it: crop, colours and angles
in between, the change blended, fewer mirrored, the erased patch smaller. The policies of
`data.operations` follow the crop of `light`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor
from torchvision.transforms.v2 import functional as F

from ablate.data.colours import solarize
from ablate.data.operations import POLICIES as OPERATION_POLICIES
from ablate.data.warps import Warp, affine, rotate
from ablate.recipe.policy import Policy


@dataclass(frozen=True, slots=True)
class Strength:
    """How far views of a level go; the table above in code."""

    area: tuple[float, float]
    """Range of the crop's share of the stored square."""
    jitter: float = 0.0
    """Brightness, contrast and saturation are multiplied by 1 - jitter to 1 + jitter."""
    hue: float = 0.0
    """Hue is turned by at most this share of the circle."""
    degrees: float = 0.0
    has_change: bool = False
    erase: float = 0.0
    """Probability of an erased patch."""


CLEAN = Strength(area=(1.0, 1.0))
LEVELS: dict[str, Strength] = {
    "light": Strength(area=(0.60, 1.0)),
    "medium": Strength(area=(0.35, 1.0), jitter=0.3, hue=0.02, degrees=15.0),
    "strong": Strength(
        area=(0.20, 1.0), jitter=0.4, hue=0.05, degrees=15.0, has_change=True, erase=0.25
    ),
}
# Words that a recipe's `augment` may have; a number between 0 and 1 is none of them.
POLICIES = ("none", *LEVELS, *OPERATION_POLICIES)


CHANGES: tuple[Callable[[Tensor, float], Tensor], ...] = (
    lambda image, _: image,
    lambda image, _: F.autocontrast(image),
    lambda image, _: F.equalize(image),
    # at most 4 of 8 bits go
    lambda image, x: F.posterize(image, bits=8 - round(4 * abs(x))),
    # at most the brighter half is inverted
    lambda image, x: solarize(image, 255 - 127 * abs(x)),
    lambda image, x: F.adjust_sharpness(image, 1 + 0.9 * x),
    lambda image, x: F.gaussian_blur(image, kernel_size=[5, 5], sigma=[0.1 + 1.4 * abs(x)]),
    # 20 degrees at most
    lambda image, x: affine(image, Warp(shear=(20 * x, 0.0))),
    lambda image, x: affine(image, Warp(shear=(0.0, 20 * x))),
    lambda image, x: rotate(image, 30 * x),
)
"""The ten changes of `strong`; each takes a (3, H, W) uint8 image and a strength in [-1, 1].

A draw is a position among them, so their order is a part of every view.
"""


def strength_of(policy: Policy) -> tuple[Strength, float]:
    """Return what is drawn, and how far a view goes towards it from the clean image, in [0, 1]."""
    level, share = _level_of(policy)
    if policy.erase is not None:
        level = replace(level, erase=policy.erase)
    if policy.color_jitter is not None:
        # hue is the most visible: a tenth of the range of the others, as in the levels
        level = replace(level, jitter=policy.color_jitter, hue=policy.color_jitter / 10)
    return level, share


def _level_of(policy: Policy) -> tuple[Strength, float]:
    if isinstance(policy.augment, float):
        return LEVELS["strong"], policy.augment
    if policy.augment == "none":
        return CLEAN, 0.0
    # the operations follow a crop, as in their papers, and bring colours and angles of their own
    if policy.augment in OPERATION_POLICIES:
        return LEVELS["light"], 1.0
    return LEVELS[policy.augment], 1.0
