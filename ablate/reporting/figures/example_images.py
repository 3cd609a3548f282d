"""Which images the report shows. Small versions come from the study's store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.figures.tiles import ImageKey, Tile, TileFigure
from ablate.reporting.results import Results

Thumbnails = Mapping[ImageKey, NDArray[np.uint8]]
"""Key -> (H, W, 3) RGB."""
Pictures = Callable[[Sequence[ImageKey]], Thumbnails]
"""Gives small versions of images; those that it does not have are missing."""
LEFT_OUT = "Example images are left out (`--no-images`)."
DUPLICATES = "examples_duplicates"
N_DUPLICATES = 10


def left_out_note(results: Results) -> str:
    """What a report says that was asked to show no images; `verify` looks for it."""
    return LEFT_OUT if results.thumbnails is None else ""


def with_pictures(results: Results, pictures: Pictures | None) -> Results:
    """The results with small versions of the images that the report shows; None leaves them out."""
    if pictures is None:
        return results
    return replace(results, thumbnails=dict(pictures(wanted_images(results))))


def wanted_images(results: Results) -> list[ImageKey]:
    """Every image that the report would show, each once, in order."""
    # A dictionary, not a set: reports of equal runs are equal, so the order must be.
    keys: dict[ImageKey, None] = {}
    for figure in tile_figures(results):
        keys.update(dict.fromkeys(figure.keys))
    return list(keys)


def tile_figures(results: Results) -> list[TileFigure]:
    """What the task shows of its errors, then near-duplicates across splits."""
    return [*results.insight.tiles(results), _duplicates(results)]


def _duplicates(results: Results) -> TileFigure:
    rows = []
    duplicates = results.record.data.near_duplicates
    pairs = () if duplicates is None else duplicates.pairs[:N_DUPLICATES]
    for pair in pairs:
        first = Tile((pair.first_split, pair.first_id), pair.first_split)
        second = Tile((pair.second_split, pair.second_id), pair.second_split)
        rows.append(("", [first, second]))
    alt = "Nearly identical images of different splits, one pair per row."
    return TileFigure(DUPLICATES, alt, rows)
