"""How large the images of a data set are, and which share of their pixels a network sees."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from statistics import median

from pydantic import BaseModel, ConfigDict

from ablate.recipe.shown_part import USUAL_VIEW, View
from ablate.recipe.tiling import rows_and_columns

FEWEST_SEEN = 0.85
"""As mean share of an image's pixels; below it a plan and a report say so."""


class Spread(BaseModel):
    """The smallest, the middle and the largest of some numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one number."""
        return cls(least=min(values), median=median(values), most=max(values))


class ImageShapes(BaseModel):
    """Of all images whose files were looked at, upright."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    widths: Spread
    """Pixels."""
    heights: Spread
    aspects: Spread
    """Longer side over shorter side."""
    middle_share: float
    """Share of an image's pixels that its middle square has, in (0, 1]; a mean over the images."""


def shapes_of(sizes: Iterable[tuple[int, int]], *, tiles: str | None = None) -> ImageShapes | None:
    """Return the shapes of images of some sizes, (width, height) in pixels; None of none.

    Cut into tiles, an image has a middle square in each of them.
    """
    widths: list[float] = []
    heights: list[float] = []
    aspects: list[float] = []
    middle_shares: list[float] = []
    for width, height in sizes:
        widths.append(width)
        heights.append(height)
        aspects.append(max(width, height) / min(width, height))
        middle_shares.append(middle_share(width, height, tiles))
    if not widths:
        return None
    return ImageShapes(
        widths=Spread.of(widths),
        heights=Spread.of(heights),
        aspects=Spread.of(aspects),
        middle_share=sum(middle_shares) / len(middle_shares),
    )


def middle_share(width: int, height: int, tiles: str | None) -> float:
    """Share of the pixels of an image, or of each of its tiles, that the middle square has."""
    n_rows, n_columns = rows_and_columns(tiles)
    tile_width = width / n_columns
    tile_height = height / n_rows
    # 1 / aspect, as it was before there were tiles: its last digit is on record.
    return 1 / (max(tile_width, tile_height) / min(tile_width, tile_height))


def share_seen(shapes: ImageShapes, *, view: View, side_share: float) -> float:
    """Return the mean share of an image's pixels that val and test show a network, in (0, 1].

    `side_share` is the side that a network sees over the side of the square that is stored: the
    crop share. Whole images are stored with nothing around them.
    """
    if view != USUAL_VIEW:
        return 1.0
    return shapes.middle_share * side_share**2


def sizes_in_words(shapes: ImageShapes) -> str:
    """`500 x 375 pixels (median; from 213 x 180 to 1024 x 768), 1.33 times as long as ...`."""
    widths = shapes.widths
    heights = shapes.heights
    aspects = shapes.aspects
    sides = f"{_side(widths.median)} x {_side(heights.median)} pixels"
    if widths.least < widths.most or heights.least < heights.most:
        sides += (
            f" (median; {_side(widths.least)} to {_side(widths.most)} wide, "
            f"{_side(heights.least)} to {_side(heights.most)} high)"
        )
    aspect = f"{aspects.median:.2f}"
    if aspects.least < aspects.most:
        aspect += f" ({aspects.least:.2f} to {aspects.most:.2f})"
    return f"{sides}; longer side over shorter {aspect}"


def seen_in_words(shares: Collection[float]) -> str:
    """`51 %`, or `51 to 100 %` where arms see more or less; of at least one share."""
    lowest = math.floor(100 * min(shares))
    highest = math.floor(100 * max(shares))
    if lowest == highest:
        return f"{lowest} %"
    return f"{lowest} to {highest} %"


def _side(pixels: float) -> str:
    return f"{pixels:g}"
