"""What a search is asked to do: who proposes trials, who ends them early, and the space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
)

from ablate.recipe.levels import typed_level
from ablate.recipe.recipe import Level

# Frozen and closed, as every part of a grid: see `Grid`.
_FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
# Words of grid files; which class of Optuna each is stands in `ablate.scheduling.samplers`.
Sampler = Literal["random", "tpe", "gp", "cma-es", "qmc", "nsga2"]
Pruner = Literal["none", "median", "hyperband", "wilcoxon", "patient"]
Cell = dict[str, Level]
"""One combination of levels: axis -> level."""
COSTS = (
    "cost/n_trainable",
    "cost/n_parameters",
    "cost/delta_mb",
    "cost/peak_memory_mb",
    "time/train_s",
    "time/total_s",
)
"""What a search may weigh against a score."""
MAX_SEARCH = 10_000
"""Trials of a search: a sampler reads all of them before it proposes the next one."""


def _as_list(levels: Any) -> Any:
    """A condition may name a single level without brackets."""
    if isinstance(levels, list | tuple):
        return levels
    return (levels,)


# No schema: a condition is one level or a list of them, of whatever type the named axis has.
Condition = Annotated[tuple[Any, ...], BeforeValidator(_as_list), WithJsonSchema({})]
# Strict, and in this order: else pydantic would make 1.0 of a whole number, or 1 of true.
Bound = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True)]


class Range(BaseModel):
    """Values of an axis between two bounds, both included.

    They are whole numbers where the field takes whole numbers.
    """

    model_config = _FROZEN
    low: Bound
    high: Bound
    log: bool = Field(False, strict=True, description="draw evenly over orders of magnitude")
    when: dict[str, Condition] = Field(
        default_factory=dict,
        description="axis before this one -> level or levels for which this axis is searched",
    )


class Choice(BaseModel):
    """Levels of an axis that is searched only for some levels of axes before it."""

    model_config = _FROZEN
    levels: tuple[Any, ...] = Field(min_length=1)
    when: dict[str, Condition] = Field(
        default_factory=dict,
        description="axis before this one -> level or levels for which this axis is searched",
    )


def _kind(value: Any) -> str:
    """Which kind of axis a value is: one of the file, or one that was made already."""
    # pydantic asks this both for a file's values and for models that were made already.
    if isinstance(value, Choice) or (isinstance(value, dict) and "levels" in value):
        return "choice"
    if isinstance(value, Range | dict):
        return "range"
    return "list"


Axis = Annotated[
    Annotated[tuple[Any, ...], Tag("list")]
    | Annotated[Range, Tag("range")]
    | Annotated[Choice, Tag("choice")],
    Discriminator(_kind),
]


class Search(BaseModel):
    """How many trials are run, who proposes and ends them, how many arms are trained again."""

    model_config = _FROZEN
    sampler: Sampler = Field(description="who proposes trials")
    n_trials: int = Field(
        ge=2, le=MAX_SEARCH, strict=True, description="trials of the search, with the pilot seed"
    )
    confirm: int = Field(
        ge=1,
        le=MAX_SEARCH,
        strict=True,
        description="number of best arms that are trained again with all seeds; only those enter "
        "conclusions",
    )
    pruner: Pruner = Field("none", description="who ends hopeless trials early")
    objectives: tuple[str, ...] = Field(
        (),
        description="several scores to weigh: select_by first, then further val/<metric> or "
        "costs; empty: select_by alone",
    )


SearchAxis = Range | Choice
"""An axis as a search reads it: a plain list of levels is a `Choice` without a condition."""


def is_active(axis: SearchAxis, cell: Cell) -> bool:
    """Whether an axis matters for what was chosen so far."""
    for name, levels in axis.when.items():
        # An axis that is not active itself is not in the cell, and switches this one off too.
        if name not in cell or cell[name] not in levels:
            return False
    return True


def space_of(axes: Mapping[str, Any]) -> dict[str, SearchAxis]:
    """The axes of a grid as a search reads them: values in the type of their field."""
    space: dict[str, SearchAxis] = {}
    for name, axis in axes.items():
        space[name] = _typed_axis(name, axis)
    return space


def _typed_axis(name: str, axis: Any) -> SearchAxis:
    when = _typed_when(axis)
    if isinstance(axis, Range):
        low = typed_level(name, axis.low)
        high = typed_level(name, axis.high)
        return axis.model_copy(update={"low": low, "high": high, "when": when})
    levels = axis
    if isinstance(axis, Choice):
        levels = axis.levels
    return Choice(levels=_typed_levels(name, levels), when=when)


def _typed_when(axis: Any) -> dict[str, tuple[Level, ...]]:
    """A condition in the types of the axes that it names."""
    if not isinstance(axis, Range | Choice):
        return {}
    when: dict[str, tuple[Level, ...]] = {}
    for name, levels in axis.when.items():
        when[name] = _typed_levels(name, levels)
    return when


def _typed_levels(name: str, levels: Sequence[Any]) -> tuple[Level, ...]:
    return tuple(typed_level(name, level) for level in levels)


def typed_cell(cell: Mapping[str, Any]) -> Cell:
    """A cell with its levels as the recipe's fields keep them: tuples for YAML's lists."""
    typed: Cell = {}
    for axis, level in cell.items():
        typed[axis] = typed_level(axis, level)
    return typed


def probe_cells(space: Mapping[str, SearchAxis]) -> list[Cell]:
    """Cells that together take every level and every bound of a range.

    They are what is checked before a search; axes that are not probed have their first level.
    """
    # One axis at a time: all combinations would be far too many.
    cells = [_first_cell(space, {})]
    for name, axis in space.items():
        for level in _probed_levels(axis):
            wanted: Cell = {name: level}
            # Without the levels that its conditions ask for, the axis would not be active.
            for other, levels in _conditions(space, name):
                wanted.setdefault(other, levels[0])
            cells.append(_first_cell(space, wanted))
    # By their text: cells can hold lists, and cannot be keys of a dict themselves.
    by_text: dict[str, Cell] = {}
    for cell in cells:
        by_text[repr(cell)] = cell
    return list(by_text.values())


def _conditions(
    space: Mapping[str, SearchAxis], name: str
) -> Iterator[tuple[str, Sequence[Level]]]:
    """The conditions of an axis, and those of the axes that they name."""
    for other, levels in space[name].when.items():
        yield other, levels
        yield from _conditions(space, other)


def _probed_levels(axis: SearchAxis) -> Sequence[Level]:
    if isinstance(axis, Range):
        return (axis.low, axis.high)
    return axis.levels


def _first_cell(space: Mapping[str, SearchAxis], wanted: Cell) -> Cell:
    """The wanted levels, and of every other active axis the first."""
    cell: Cell = {}
    for name, axis in space.items():
        # In the order of the file: a condition speaks of axes before it, which are in the cell.
        if is_active(axis, cell):
            cell[name] = wanted.get(name, _probed_levels(axis)[0])
    return cell


def describe_axis(axis: SearchAxis) -> str:
    """The axis as prose: `0.0001 to 0.1, log scale, where lora_rank is 4 or 8`."""
    if isinstance(axis, Range):
        parts = [f"{axis.low:g} to {axis.high:g}"]
        if axis.log:
            parts.append("log scale")
    else:
        parts = [*map(str, axis.levels)]
    for name, levels in axis.when.items():
        parts.append(f"where {name} is {' or '.join(map(str, levels))}")
    return ", ".join(parts)
