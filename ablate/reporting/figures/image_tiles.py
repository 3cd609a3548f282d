"""The report's figures of example images, as far as small versions of them are at hand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.figures.example_images import Thumbnails, tile_figures
from ablate.reporting.figures.models import draw_tiles
from ablate.reporting.figures.picture import Picture
from ablate.reporting.figures.tiles import TileFigure
from ablate.reporting.results import Results

_COLUMNS = 5
_Row = tuple[str, list[tuple[NDArray[np.uint8], str]]]


def image_pictures(results: Results) -> list[Picture]:
    """Every figure of example images; what has no image at hand is left out."""
    pictures = []
    for figure in tile_figures(results):
        rows = list(_drawn_rows(figure, results.thumbnails or {}))
        if rows:
            pictures.append(Picture(figure.name, partial(draw_tiles, rows), figure.alt))
    return pictures


def _drawn_rows(figure: TileFigure, thumbnails: Thumbnails) -> Iterator[_Row]:
    """The rows with the images that there are, without empty ones; long ones go on below."""
    for name, tiles in figure.rows:
        # Stores of older studies, or of other machines, hold some of the images or none.
        known = [(thumbnails[tile.key], tile.caption) for tile in tiles if tile.key in thumbnails]
        for start in range(0, len(known), _COLUMNS):
            yield name, known[start : start + _COLUMNS]
