"""Images that the report shows, by name: which, with which caption, in which rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ImageKey = tuple[str, str]
"""(split, image_id)."""


@dataclass(frozen=True)
class Tile:
    """An image with what stands above it; a caption may have several lines."""

    key: ImageKey
    caption: str


@dataclass(frozen=True)
class TileFigure:
    """A figure of images, before anybody knows which of them can be shown."""

    name: str
    """File name of the figure, without ending."""
    alt: str
    rows: Sequence[tuple[str, Sequence[Tile]]]
    """(name at the left, tiles); a row without a name that is too long is wrapped."""

    @property
    def keys(self) -> Iterable[ImageKey]:
        """Every image, in order."""
        for _, tiles in self.rows:
            for tile in tiles:
                yield tile.key
