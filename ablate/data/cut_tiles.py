"""Images cut into tiles, and small pictures of images whose store holds their tiles."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablate.data.image_rows import ImageRows
from ablate.data.store import StoredSplit
from ablate.errors import DataError
from ablate.recipe.tiling import rows_and_columns

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; the last two lie outside."""


def tile_boxes(width: int, height: int, tiles: str | None) -> list[Box]:
    """Return the boxes of an image's tiles, row by row.

    Every pixel is in exactly one of them. Sides differ by at most one pixel: tile i of n ends at
    floor(side * (i + 1) / n).
    """
    n_rows, n_columns = rows_and_columns(tiles)
    xs = _edges(width, n_columns)
    ys = _edges(height, n_rows)
    boxes = []
    for top, bottom in itertools.pairwise(ys):
        for left, right in itertools.pairwise(xs):
            boxes.append((left, top, right, bottom))
    return boxes


def cut_tiles(image: Image.Image, tiles: str | None, *, name: str) -> list[Image.Image]:
    """Return the tiles of an image, row by row; the image itself where it stays whole.

    `name` is how the error calls it. Raises DataError where a tile would hold no pixel.
    """
    n_rows, n_columns = rows_and_columns(tiles)
    if n_rows * n_columns == 1:
        return [image]
    if image.width < n_columns or image.height < n_rows:
        raise DataError(
            f"an image must have a pixel for each of its {tiles} tiles, got "
            f"{image.width} x {image.height}: {name}; leave it out, or ask for fewer tiles."
        )
    return [image.crop(box) for box in tile_boxes(image.width, image.height, tiles)]


def pictures(split: StoredSplit, *, side: int) -> ImageRows:
    """Return whole images as squares, (N, S, S, 3): those of the store, or joined of their tiles.

    `side` is S where they are joined: a split of mosaics at full size would fill the memory.
    """
    if split.n_tiles == 1:
        return split.images
    joined = np.empty((len(split.image_ids), side, side, 3), dtype=np.uint8)
    for position in range(len(split.image_ids)):
        mosaic = Image.fromarray(picture(split, position))
        joined[position] = np.asarray(mosaic.resize((side, side), Image.Resampling.BOX))
    return joined


def picture(split: StoredSplit, position: int) -> NDArray[np.uint8]:
    """Return one whole image of a store, (H, W, 3): its tiles beside each other as they were cut.

    What `view` leaves out of each tile is missing, and what it adds is there.
    """
    n_rows, n_columns = rows_and_columns(split.tiles)
    first = position * split.n_tiles
    tiles = split.images[first : first + split.n_tiles]
    side = tiles.shape[1]
    grid = tiles.reshape(n_rows, n_columns, side, side, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(grid).reshape(n_rows * side, n_columns * side, 3)


def _edges(length: int, n_parts: int) -> list[int]:
    return [length * i // n_parts for i in range(n_parts + 1)]
