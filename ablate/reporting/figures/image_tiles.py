"""The report's figures of example images, as far as small versions of them are at hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.figures.draw import Picture
from ablate.reporting.figures.example_images import (
    Tile,
    confused_rows,
    duplicate_rows,
    mistake_tiles,
    suspect_tiles,
)
from ablate.reporting.figures.models import draw_tiles
from ablate.reporting.results import Results

CONFUSED, MISTAKES, SUSPECTS, DUPLICATES = (
    "examples_confused",
    "examples_mistakes",
    "examples_suspects",
    "examples_duplicates",
)
_COLUMNS = 5
_Row = tuple[str, list[tuple[NDArray[np.uint8], str]]]


def image_pictures(results: Results) -> list[Picture]:
    """Confused pairs, confident mistakes, suspect labels, near-duplicates; what has no image at hand is left out."""
    confused = [_row(results, name, tiles) for name, tiles in confused_rows(results).items()]
    duplicates = [_row(results, "", tiles) for tiles in duplicate_rows(results)]
    alts = {
        CONFUSED: (
            confused,
            "Test images of the most confused pairs of classes, a row a pair; the last image of a row is really of the second class.",
        ),
        MISTAKES: (
            _wrapped(results, mistake_tiles(results)),
            "The test images that the best arm got wrong most confidently.",
        ),
        SUSPECTS: (
            _wrapped(results, suspect_tiles(results)),
            "The images whose labels the trials doubt most.",
        ),
        DUPLICATES: (
            duplicates,
            "Images of different splits that are all but the same, a pair a row.",
        ),
    }
    drawn = {name: ([row for row in rows if row[1]], alt) for name, (rows, alt) in alts.items()}
    return [Picture(name, draw_tiles(rows), alt) for name, (rows, alt) in drawn.items() if rows]


def _row(results: Results, name: str, tiles: Sequence[Tile]) -> _Row:
    held = results.thumbnails or {}
    return name, [(held[tile.key], tile.caption) for tile in tiles if tile.key in held]


def _wrapped(results: Results, tiles: Sequence[Tile]) -> list[_Row]:
    _, held = _row(results, "", tiles)
    return [("", held[start : start + _COLUMNS]) for start in range(0, len(held), _COLUMNS)]
