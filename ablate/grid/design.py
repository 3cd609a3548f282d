"""Designs: which cells of a grid are trained. All but a search choose cells, never results, so each gives effects that can be estimated without bias."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from ablate.grid.search_space import Search
from ablate.grid.size import MAX_CELLS, cells_mistake
from ablate.recipe.recipe import Level
from ablate.streams import stream

Cell = dict[str, Level]
N_POOL = 10_000
"""Cells that a random design draws its arms from where the full grid has more than `MAX_CELLS`."""


class RandomDesign(BaseModel):
    """Some arms of the full grid, drawn evenly; the baseline is always one of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    random: int = Field(
        ge=2, le=MAX_CELLS, strict=True, description="arms, the baseline among them"
    )


class SearchDesign(BaseModel):
    """Arms that a sampler proposes one after the other. For finding good arms, never for estimating effects."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    search: Search


def _kind(value: Any) -> str:
    if isinstance(value, SearchDesign) or (isinstance(value, dict) and "search" in value):
        return "searched"
    return "drawn" if isinstance(value, dict | RandomDesign) else "named"


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

    A random design draws later, among arms that make sense: of all cells, or in a grid of very many of `N_POOL` that are drawn evenly by `seed`.

    `one_factor` and `leave_one_out` are the baseline and every cell that differs from it in one axis; for `leave_one_out` the baseline is the full recipe
    and each axis has two levels, with and without a component.
    """
    if design in ("one_factor", "leave_one_out"):
        yield from _neighbours(axes, baseline)
        return
    if isinstance(design, RandomDesign) and math.prod(map(len, axes.values())) > MAX_CELLS:
        yield from _pool(axes, baseline, seed=seed)
        return
    for levels in itertools.product(*axes.values()):
        yield dict(zip(axes, levels, strict=True))


def _neighbours(axes: Mapping[str, Sequence[Level]], baseline: Cell) -> Iterator[Cell]:
    """The baseline and the cells that differ from it in one axis, in the order that they have in the full grid."""
    middle = tuple(levels.index(baseline[axis]) for axis, levels in axes.items())
    places = {middle}
    for number, levels in enumerate(axes.values()):
        places |= {(*middle[:number], index, *middle[number + 1 :]) for index in range(len(levels))}
    yield from _cells_at(sorted(places), axes)


def _pool(axes: Mapping[str, Sequence[Level]], baseline: Cell, *, seed: int) -> Iterator[Cell]:
    """The baseline and `N_POOL` cells, drawn evenly; fewer where one was drawn twice."""
    rng = np.random.Generator(np.random.Philox(key=stream(seed, "permute", "cells")))
    drawn_places = rng.integers(
        [len(levels) for levels in axes.values()], size=(N_POOL, len(axes))
    ).tolist()
    middle = tuple(levels.index(baseline[axis]) for axis, levels in axes.items())
    yield from _cells_at(sorted({middle, *map(tuple, drawn_places)}), axes)


def _cells_at(
    places: Iterable[tuple[int, ...]], axes: Mapping[str, Sequence[Level]]
) -> Iterator[Cell]:
    """The cells at these positions of the levels of each axis."""
    for place in places:
        yield {
            axis: levels[index] for (axis, levels), index in zip(axes.items(), place, strict=True)
        }


def drawn(arm_ids: Sequence[str], baseline_arm_id: str, design: Design, *, seed: int) -> list[str]:
    """Return the arms that are trained, in their order: all of them, or as many as a random design asks for, drawn with the grid's first seed."""
    if not isinstance(design, RandomDesign):
        return list(arm_ids)
    others = [arm_id for arm_id in arm_ids if arm_id != baseline_arm_id]
    order = np.random.Generator(
        np.random.Philox(key=stream(seed, "permute", "design"))
    ).permutation(len(others))
    chosen = {baseline_arm_id, *(others[index] for index in order[: design.random - 1])}
    return [arm_id for arm_id in arm_ids if arm_id in chosen]


def design_name(design: Design) -> str:
    """The design as the report says it: `full`, ..., `random 12` or `search tpe 30`."""
    if isinstance(design, SearchDesign):
        return f"search {design.search.sampler} {design.search.n_trials}"
    return f"random {design.random}" if isinstance(design, RandomDesign) else design


def design_mistakes(
    design: Any, axes: Mapping[str, Sequence[Any]]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield (place, sentence) for what the design alone cannot know."""
    if design == "leave_one_out":
        for axis, levels in axes.items():
            if isinstance(levels, list) and len(levels) != 2:
                yield (
                    ("axes", axis),
                    f"must have two levels in a leave_one_out design, with and without the component, got {len(levels)}; or take one_factor",
                )
    if design in ("full", "one_factor", "leave_one_out"):
        too_many = cells_mistake([max(1, len(levels)) for levels in axes.values()], design)
        if too_many:
            yield ("axes",), too_many
