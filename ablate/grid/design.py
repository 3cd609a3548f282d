"""Designs: which cells of a grid are trained.

All but a search choose cells without looking at results, so effects are estimated without bias.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from ablate.grid.search_space import Cell, Search
from ablate.grid.size import MAX_CELLS, cells_mistake
from ablate.grid.yaml_lines import Problem
from ablate.in_order import present
from ablate.recipe.recipe import Level
from ablate.streams import stream

N_POOL = 10_000
"""Cells that a random design draws its arms from where the full grid has more than `MAX_CELLS`."""


class RandomDesign(BaseModel):
    """Some arms of the full grid, drawn evenly; the baseline is always one of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    random: int = Field(
        ge=2, le=MAX_CELLS, strict=True, description="number of arms, the baseline included"
    )


class SearchDesign(BaseModel):
    """Arms that a sampler proposes one by one: for finding good arms, never to estimate effects."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    search: Search


def _kind(value: Any) -> str:
    if isinstance(value, SearchDesign):
        return "searched"
    if isinstance(value, dict) and "search" in value:
        return "searched"
    if isinstance(value, dict | RandomDesign):
        return "drawn"
    return "named"


# The discriminator keeps pydantic's errors to the one branch that was meant: without it a
# misspelt key of a search would be reported once for each of the three kinds.
Design = Annotated[
    Annotated[Literal["full", "one_factor", "leave_one_out"], Tag("named")]
    | Annotated[RandomDesign, Tag("drawn")]
    | Annotated[SearchDesign, Tag("searched")],
    Discriminator(_kind),
]


def design_cells(
    axes: Mapping[str, Sequence[Level]], baseline: Cell, design: Design, *, seed: int = 0
) -> Iterator[Cell]:
    """Yield the cells that a design asks for, axis -> level; the first axis varies slowest.

    A random design yields its candidates: `draw_arms` chooses later, among arms that make sense.
    They are all cells of the grid, or in a very large grid `N_POOL` drawn evenly by `seed`.

    `one_factor` and `leave_one_out` are the baseline and every cell that differs from it in one
    axis; for `leave_one_out` the baseline is the full recipe and each axis has two levels, with
    and without a component.
    """
    if design in ("one_factor", "leave_one_out"):
        yield from _neighbours(axes, baseline)
        return
    # Lazily, here and below: a grid of 50,000 cells is never in memory as a whole.
    n_cells = math.prod(map(len, axes.values()))
    # `random: n` of a grid that is too large to go through cell by cell.
    if isinstance(design, RandomDesign) and n_cells > MAX_CELLS:
        yield from _pool(axes, baseline, seed=seed)
        return
    for levels in itertools.product(*axes.values()):
        yield dict(zip(axes, levels, strict=True))


def _neighbours(axes: Mapping[str, Sequence[Level]], baseline: Cell) -> Iterator[Cell]:
    """The baseline and the cells that differ from it in one axis, ordered as in the full grid."""
    # Indices instead of levels: they sort in the file's order, and levels can be lists.
    center = _positions(axes, baseline)
    neighbours = {center}
    for number, levels in enumerate(axes.values()):
        # The axis' own level gives the baseline once more, which the set takes in.
        for index in range(len(levels)):
            neighbours.add((*center[:number], index, *center[number + 1 :]))
    yield from _cells_at(sorted(neighbours), axes)


def _pool(axes: Mapping[str, Sequence[Level]], baseline: Cell, *, seed: int) -> Iterator[Cell]:
    """The baseline and `N_POOL` cells, drawn evenly; fewer where one was drawn twice."""
    rng = np.random.Generator(np.random.Philox(key=stream(seed, "permute", "cells")))
    n_levels = list(map(len, axes.values()))
    # One row per cell, one column per axis; each column below its own number of levels.
    positions = rng.integers(n_levels, size=(N_POOL, len(axes))).tolist()
    # Sorted afterwards: a set has another order in every process, and arms keep the file's order.
    pool = {_positions(axes, baseline), *map(tuple, positions)}
    yield from _cells_at(sorted(pool), axes)


def _positions(axes: Mapping[str, Sequence[Level]], cell: Cell) -> tuple[int, ...]:
    """For each axis the index of the cell's level."""
    positions = []
    for axis, levels in axes.items():
        positions.append(levels.index(cell[axis]))
    return tuple(positions)


def _cells_at(
    positions: Iterable[tuple[int, ...]], axes: Mapping[str, Sequence[Level]]
) -> Iterator[Cell]:
    for indices in positions:
        cell: Cell = {}
        for (axis, levels), index in zip(axes.items(), indices, strict=True):
            cell[axis] = levels[index]
        yield cell


def draw_arms(
    arm_ids: Sequence[str], baseline_arm_id: str, design: Design, *, seed: int
) -> list[str]:
    """Return the arms that are trained, in their order.

    All of them, or as many as a random design asks for, drawn with the grid's first seed.
    """
    if not isinstance(design, RandomDesign):
        return list(arm_ids)
    # Drawn from arms, not from cells: merged and excluded cells would make some arms likelier.
    # The baseline is not drawn: every difference is against it.
    others = [arm_id for arm_id in arm_ids if arm_id != baseline_arm_id]
    rng = np.random.Generator(np.random.Philox(key=stream(seed, "permute", "design")))
    order = rng.permutation(len(others))
    chosen = {baseline_arm_id}
    for index in order[: design.random - 1]:
        chosen.add(others[index])
    # In the file's order again, not in that of the draw.
    return present(arm_ids, among=chosen)


def design_name(design: Design) -> str:
    """The design as the report names it: `full`, ..., `random 12` or `search tpe 30`."""
    if isinstance(design, SearchDesign):
        return f"search {design.search.sampler} {design.search.n_trials}"
    if isinstance(design, RandomDesign):
        return f"random {design.random}"
    return design


def design_mistakes(design: Any, axes: Mapping[str, Sequence[Any]]) -> Iterator[Problem]:
    """Yield what is wrong between a design, as the file has it, and the levels of the axes."""
    if design == "leave_one_out":
        for axis, levels in axes.items():
            if isinstance(levels, list) and len(levels) != 2:
                yield (
                    ("axes", axis),
                    "must have two levels in a leave_one_out design, with and without the "
                    f"component, got {len(levels)}; or take one_factor",
                )
    if design in ("full", "one_factor", "leave_one_out"):
        # An empty axis is a mistake of its own, and must not make the product 0.
        n_levels = [max(1, len(levels)) for levels in axes.values()]
        too_many = cells_mistake(n_levels, design)
        if too_many:
            yield ("axes",), too_many
