"""What is known of a network before it is built.

Values without torch, so that a plan can take them from where they were kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ablate.recipe.shown_part import USUAL_VIEW, Shown, View

if TYPE_CHECKING:
    from torch import Tensor

ImageSize = int | Literal["auto"]
WORTH_KEEPING = {"cpu": 250.0, "cuda": 20_000.0}
"""Multiply-adds that computing one value of an activation must take, by device, before keeping it
is the cheaper way. A value is written, read for its digest and read by each trial: some 6 ns where
a core does 40 multiply-adds a ns (measured: EfficientNet-Lite0 in bf16). A GPU does hundreds of
times as many, and its values come over a bus."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a backbone wants its images: uint8 RGB / 255, then (value - mean) / std per channel."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image_size: int
    """Side in pixels of the square that the network sees."""
    crop_pct: float
    """Share of the stored square's side that the centre crop keeps, in (0, 1]."""
    interpolation: str
    view: View = USUAL_VIEW
    tiles: str | None = None
    """Rows and columns of tiles that an image is cut into first; None: it stays whole."""

    def as_shown(self, shown: Shown) -> Preprocessing:
        """The same at what a trial asks for; its size is the one that these values are for.

        Whole images are stored at the size that the network sees, with nothing around it.
        """
        share = shown.crop_share or self.crop_pct
        if shown.view != USUAL_VIEW:
            share = 1.0
        interpolation = shown.interpolation or self.interpolation
        return replace(
            self,
            view=shown.view,
            crop_pct=share,
            interpolation=interpolation,
            tiles=shown.tiles,
        )

    @property
    def store_side(self) -> int:
        """Side in pixels at which images are stored, >= image_size.

        Its centre crop of image_size is what validation sees.
        """
        return max(self.image_size, round(self.image_size / self.crop_pct))

    @property
    def fine_side(self) -> int:
        """Side in pixels at which train images are kept for crops.

        A crop of a quarter of the area is not enlarged.
        """
        return 2 * self.image_size

    def normalised(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [0, 255] -> float32 as the backbone was pretrained on them.

        Device and memory layout stay.
        """
        floats = images.float()
        # on the 0 to 255 scale, so that images are not divided by 255 first: one pass less
        mean = floats.new_tensor(self.mean).view(1, 3, 1, 1) * 255
        std = floats.new_tensor(self.std).view(1, 3, 1, 1) * 255
        return (floats - mean) / std


@dataclass(frozen=True, slots=True)
class RecipeFacts:
    """What a recipe would build."""

    n_units: int
    unit_names: tuple[str, ...]
    depth: int
    """Leading frozen units, in [0, n_units], when all is thawed that will be."""
    phase_depths: tuple[int, ...]
    """The same in each phase of training; never rises."""
    n_parameters: int
    n_trainable: int
    preprocessing: Preprocessing
    targets: tuple[str, ...]
    """Modules that carry an adapter."""
    skipped_targets: Mapping[str, str]
    """Module that could have carried one but for its kind -> why."""
    oversized: Mapping[str, str]
    """Target whose adapter has more parameters than the module itself -> both counts."""
    pooling: str = "auto"
    """What pools the last feature map, settled where the recipe says `auto`."""
    takes_one_image: bool = True
    """Whether it can train with one image in the network at a time."""


@dataclass(frozen=True, slots=True)
class PrefixCost:
    """One image's way through the leading units."""

    n_values: int
    """Values of the activation behind them."""
    n_multiply_adds: int
    """Of linear layers and convolutions before it; attention's products are not counted."""

    def is_worth_keeping(self, device: str) -> bool:
        """Whether an activation is cheaper to keep than to compute again."""
        return self.n_multiply_adds >= WORTH_KEEPING[device] * self.n_values
