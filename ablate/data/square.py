"""An image as the square that a store keeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablate.recipe.shown_part import USUAL_VIEW, View

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
"""As timm's `pretrained_cfg` names them -> Pillow's filter."""
MAX_ASPECT = 8
"""Images longer than this many times their width are cut to it before they are resized, so that no
sliver grows without bound."""
GREY = (127, 127, 127)
"""What fills a square beside a padded image: near the mean that backbones subtract, so that it
excites their filters least."""


def square(
    image: Image.Image, *, side: int, resample: Image.Resampling, view: View = USUAL_VIEW
) -> NDArray[np.uint8]:
    """An RGB image as a square of `side` pixels: its middle, or all of it.

    `crop` resizes the shorter side and cuts the middle square, `squash` resizes both sides, `pad`
    resizes the longer side and fills the rest with grey. Returns (side, side, 3) uint8.
    """
    # Slivers need no care where the result has a fixed size, whatever the shape of the image.
    if view == "squash":
        shown = _resized(image, (side, side), resample)
    elif view == "pad":
        shown = _padded(image, side, resample)
    else:
        shown = _cropped(image, side, resample)
    return np.asarray(shown, dtype=np.uint8)


def _cropped(image: Image.Image, side: int, resample: Image.Resampling) -> Image.Image:
    """The shorter side resized to `side`, and the middle square cut: torchvision's way."""
    width, height = image.size
    short = min(width, height)
    # Cut before, not after: only the middle would be kept anyway.
    if max(width, height) > MAX_ASPECT * short:
        image = _cut_middle(image, min(width, MAX_ASPECT * short), min(height, MAX_ASPECT * short))
        width, height = image.size
    # truncated, not rounded: as torchvision's Resize does
    if width <= height:
        size = (side, int(side * height / width))
    else:
        size = (int(side * width / height), side)
    resized = _resized(image, size, resample)
    return _cut_middle(resized, side, side)


def _resized(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    return image if image.size == size else image.resize(size, resample)


def _padded(image: Image.Image, side: int, resample: Image.Resampling) -> Image.Image:
    scale = side / max(image.size)
    # a sliver keeps a row or a column
    size = (max(1, round(scale * image.width)), max(1, round(scale * image.height)))
    resized = _resized(image, size, resample)
    canvas = Image.new("RGB", (side, side), GREY)
    canvas.paste(resized, ((side - size[0]) // 2, (side - size[1]) // 2))
    return canvas


def _cut_middle(image: Image.Image, width: int, height: int) -> Image.Image:
    # round, as in torchvision's CenterCrop: an odd rest goes where it goes there.
    left = round((image.width - width) / 2)
    top = round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
