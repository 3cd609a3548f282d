"""An image as the square that a store keeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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


def square(image: Image.Image, *, side: int, resample: Image.Resampling) -> NDArray[np.uint8]:
    """Resize the shorter side of an RGB image to `side` and cut the middle square.

    Returns (side, side, 3) uint8.
    """
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
    resized = image if image.size == size else image.resize(size, resample)
    return np.asarray(_cut_middle(resized, side, side), dtype=np.uint8)


def _cut_middle(image: Image.Image, width: int, height: int) -> Image.Image:
    # round, as in torchvision's CenterCrop: an odd rest goes where it goes there.
    left = round((image.width - width) / 2)
    top = round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
