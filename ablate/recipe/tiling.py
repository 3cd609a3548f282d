"""Images that are cut into tiles: how many, and how their scores become those of the image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

TilesJoin = Literal["mean", "max"]
"""`mean`: of the tiles' probabilities. `max`: the largest of them for each class, scaled to a sum
of 1 where an image has one class."""
USUAL_JOIN: TilesJoin = "mean"
UNCUT = "1x1"
"""No tiles at all."""
_FORM = re.compile(r"([1-8])x([1-8])")


def _checked(tiles: Any) -> Any:
    # Before pydantic's own check: of a number it would say that quotes are missing.
    if not isinstance(tiles, str) or _FORM.fullmatch(tiles) is None:
        raise ValueError("rows x columns of tiles such as 2x2, each from 1 to 8")
    return tiles


Tiles = Annotated[
    str, BeforeValidator(_checked), Field(json_schema_extra={"pattern": f"^{_FORM.pattern}$"})
]
"""Rows and columns: `2x3` are two rows of three tiles."""


def without_usual_tiles(values: Any) -> Any:
    """The fields of `data` in one form for what is the same, so that it is the same trial."""
    if not isinstance(values, Mapping):
        return values
    usual: dict[str, Any] = {}
    if values.get("tiles") == UNCUT:
        usual = {"tiles": None, "tiles_join": None}
    elif values.get("tiles") is not None and values.get("tiles_join") == USUAL_JOIN:
        usual = {"tiles_join": None}
    return {**values, **usual}


def rows_and_columns(tiles: str | None) -> tuple[int, int]:
    """`2x3` -> (2, 3); (1, 1) where images stay whole."""
    n_rows, _, n_columns = (tiles or UNCUT).partition("x")
    return int(n_rows), int(n_columns)


def n_tiles_of(tiles: str | None) -> int:
    """Tiles of one image; 1 where images stay whole."""
    n_rows, n_columns = rows_and_columns(tiles)
    return n_rows * n_columns
