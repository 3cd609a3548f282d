"""Every backbone of a search beside every way in which it may show images.

A sampler proposes arms while the search runs; their images are decoded before it starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablate.grid.grid_file import Grid
from ablate.grid.search_space import Cell, Choice, SearchAxis
from ablate.recipe.recipe import Recipe
from ablate.recipe.shown_part import SHOWN_FIELDS
from ablate.study.trial import contradiction_on


def shown_recipes(grid: Grid) -> list[Recipe]:
    """The base with each combination of levels of these axes that the search may propose."""
    cells: list[Cell] = [{}]
    for name, axis in grid.space.items():
        if name == "backbone" or name in SHOWN_FIELDS:
            cells = list(_with_each_level(cells, name, axis))
    recipes = []
    for cell in cells:
        recipe = grid.base.model_copy(update=dict(cell))
        # Exclusions that speak of other axes too leave a combination in: it may be proposed.
        if grid.rules.reason_excluded(cell) is None and not contradiction_on(grid.data, recipe):
            recipes.append(recipe)
    return recipes


def _with_each_level(cells: Sequence[Cell], name: str, axis: SearchAxis) -> Iterator[Cell]:
    # Ranges are refused for these axes: each image size is decoded for itself.
    assert isinstance(axis, Choice)
    for cell in cells:
        if axis.when:
            yield cell  # where the axis is not active, the base has its field
        for level in axis.levels:
            yield {**cell, name: level}
