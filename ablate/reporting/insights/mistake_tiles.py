"""The figure of the images that the best arm got wrong, which every task has."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.reporting.figures.tiles import Tile, TileFigure

MISTAKES = "examples_mistakes"


def mistakes_figure(tiles: Sequence[Tile]) -> TileFigure:
    """The most confident mistakes."""
    alt = "The test images that the best arm got wrong most confidently."
    # one row without a name
    return TileFigure(MISTAKES, alt, [("", tiles)])
