"""How an image is shown to a network: its size, which part of it, and how it is resized."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from ablate.recipe.tiling import USUAL_JOIN, TilesJoin

View = Literal["crop", "squash", "pad"]
"""`crop`: the middle square. `squash`: the whole image, its longer side shortened to a square.
`pad`: the whole image with its shape kept, on a grey square."""
USUAL_VIEW: View = "crop"
Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
"""As timm's `pretrained_cfg` names them; `data.square` has their filters."""
ImageSide = Annotated[int, Field(ge=1, le=100_000, strict=True)]
"""Pixels; which sides a network takes is known when it is built."""
SHOWN_FIELDS = ("image_size", "view", "crop_share", "interpolation")
"""Fields of a recipe that say how images are shown, where it does not leave that to the data."""

_MEANINGS = {
    "crop": "",
    "squash": "whole images, squashed to a square",
    "pad": "whole images on a grey square",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """How images are shown to a network, as a study's data and a recipe ask for it together."""

    image_size: Literal["auto"] | int
    """Side in pixels of the square that the network sees; auto: the backbone's own."""
    view: View = USUAL_VIEW
    crop_share: float | None = None
    """Of the middle square's side, what val and test see. None: the backbone's own share; whole
    images have none."""
    interpolation: Interpolation | None = None
    """How images are resized; None: as the backbone has them."""
    tiles: str | None = None
    """Rows and columns of tiles that each image is cut into; None: images stay whole."""
    tiles_join: TilesJoin = USUAL_JOIN

    def __str__(self) -> str:
        return shown_text([self])


ShownTo = tuple[str, Shown]
"""A backbone, and how images are shown to it."""


def shown_text(shown: Sequence[Shown]) -> str:
    """Sizes, and in brackets what is not usual: `224`, `224 (whole images on a grey square)`.

    Several ways, as arms have them: `96 or 224 (the middle square, or whole images on a grey
    square)`.
    """
    sizes = _different(str(one.image_size) for one in shown)
    meanings = _different(map(_meaning, shown))
    text = " or ".join(sizes)
    if meanings == [""]:
        return text
    parts = [meaning or "the middle square" for meaning in meanings]
    return f"{text} ({', or '.join(parts)})"


def _meaning(shown: Shown) -> str:
    """What is shown of an image and how, in words; empty where both are the usual."""
    parts = []
    if shown.tiles is not None:
        parts.append(
            f"each of {shown.tiles} tiles as an image of its own, scores joined by their "
            f"{shown.tiles_join}"
        )
    if _MEANINGS[shown.view]:
        meaning = _MEANINGS[shown.view]
        # What is shown whole, or in its middle, is each tile.
        if shown.tiles is not None:
            meaning = meaning.replace("images", "tiles")
        parts.append(meaning)
    if shown.crop_share is not None:
        parts.append(f"crop share {shown.crop_share:g}")
    if shown.interpolation is not None:
        parts.append(f"resized by {shown.interpolation}")
    return ", ".join(parts)


def _different(words: Iterable[str]) -> list[str]:
    """Each word once, in the order of their first."""
    return list(dict.fromkeys(words))
