"""What a search is asked to do: who proposes trials, who gives up on them, and the space that is searched."""

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

_FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
Sampler = Literal["random", "tpe", "gp", "cma-es", "qmc", "nsga2"]
Pruner = Literal["none", "median", "hyperband", "wilcoxon", "patient"]
Cell = dict[str, Level]
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
"""Trials of a search: a sampler looks at all of them before it proposes the next one."""
_FEWEST_RANGES: Mapping[str, tuple[int, str]] = {
    "cma-es": (
        2,
        "it moves a normal distribution through ranges, and draws everything else at random",
    ),
    "qmc": (1, "it spreads points evenly over ranges, and draws everything else at random"),
}
"""Sampler -> how many unconditional ranges it needs, and why."""

Condition = Annotated[
    tuple[Any, ...],
    BeforeValidator(lambda levels: levels if isinstance(levels, list | tuple) else (levels,)),
    WithJsonSchema({}),
]


Bound = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True)]


class Range(BaseModel):
    """Values of an axis between two bounds, both included; whole numbers where the field has whole numbers."""

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
    if isinstance(value, Range) or (isinstance(value, dict) and "levels" not in value):
        return "range"
    return "choice" if isinstance(value, dict | Choice) else "list"


Axis = Annotated[
    Annotated[tuple[Any, ...], Tag("list")]
    | Annotated[Range, Tag("range")]
    | Annotated[Choice, Tag("choice")],
    Discriminator(_kind),
]


class Search(BaseModel):
    """How many trials are looked at, who proposes them, who gives up on them, and how many arms are trained again with all seeds."""

    model_config = _FROZEN
    sampler: Sampler = Field(description="who proposes trials")
    n_trials: int = Field(
        ge=2, le=MAX_SEARCH, strict=True, description="trials of the search, with the pilot seed"
    )
    confirm: int = Field(
        ge=1,
        le=MAX_SEARCH,
        strict=True,
        description="best arms that are trained with all seeds; only those enter conclusions",
    )
    pruner: Pruner = Field("none", description="who ends hopeless trials early")
    objectives: tuple[str, ...] = Field(
        (),
        description="several scores to weigh: select_by first, then further val/<metric> or costs; empty: select_by alone",
    )


SearchAxis = Range | Choice


def is_active(axis: SearchAxis, cell: Cell) -> bool:
    """Whether an axis matters for what was chosen so far."""
    return all(name in cell and cell[name] in levels for name, levels in axis.when.items())


def space_of(axes: Mapping[str, Any]) -> dict[str, SearchAxis]:
    """The axes of a grid as a search sees them: values in the type of their field."""
    return {name: _typed(name, axis) for name, axis in axes.items()}


def _typed(name: str, axis: Any) -> SearchAxis:
    if isinstance(axis, Range):
        low, high = typed_level(name, axis.low), typed_level(name, axis.high)
        return axis.model_copy(update={"low": low, "high": high, "when": _typed_when(axis)})
    levels = axis.levels if isinstance(axis, Choice) else axis
    return Choice(
        levels=tuple(typed_level(name, level) for level in levels), when=_typed_when(axis)
    )


def _typed_when(axis: Any) -> dict[str, tuple[Level, ...]]:
    """A condition in the types of the axes that it speaks of."""
    when = axis.when if isinstance(axis, Range | Choice) else {}
    return {
        name: tuple(typed_level(name, level) for level in levels) for name, levels in when.items()
    }


def probe_cells(space: Mapping[str, SearchAxis]) -> list[Cell]:
    """Cells that together take every level and every bound of a range, with the first levels of what comes before them: what is checked before a search."""
    cells = [_first(space, {})]
    for name, axis in space.items():
        for level in _ends(axis):
            wanted: Cell = {name: level}
            for other, levels in _conditions(space, name):
                wanted.setdefault(other, levels[0])
            cells.append(_first(space, wanted))
    return list({repr(cell): cell for cell in cells}.values())


def _conditions(
    space: Mapping[str, SearchAxis], name: str
) -> Iterator[tuple[str, Sequence[Level]]]:
    for other, levels in space[name].when.items():
        yield other, levels
        yield from _conditions(space, other)


def _ends(axis: SearchAxis) -> Sequence[Level]:
    return (axis.low, axis.high) if isinstance(axis, Range) else axis.levels


def _first(space: Mapping[str, SearchAxis], wanted: Cell) -> Cell:
    cell: Cell = {}
    for name, axis in space.items():
        if is_active(axis, cell):
            cell[name] = wanted.get(name, _ends(axis)[0])
    return cell


def describe_axis(axis: SearchAxis) -> str:
    """The axis as prose: `0.0001 to 0.1, log scale, where lora_rank is 4 or 8`."""
    told = (
        f"{axis.low:g} to {axis.high:g}{', log scale' if axis.log else ''}"
        if isinstance(axis, Range)
        else ", ".join(map(str, axis.levels))
    )
    return told + "".join(
        f", where {name} is {' or '.join(map(str, levels))}" for name, levels in axis.when.items()
    )


def sampler_mistake(search: Search, space: Mapping[str, SearchAxis]) -> str | None:
    """Why a sampler cannot search a space, or None."""
    needed, why = _FEWEST_RANGES.get(search.sampler, (0, ""))
    ranges = [name for name, axis in space.items() if isinstance(axis, Range) and not axis.when]
    if len(ranges) < needed:
        return f"must have at least {needed} range{'s' if needed > 1 else ''} without `when` for {search.sampler}, got {len(ranges)}: {why}; take tpe"
    if search.sampler == "cma-es" and len(search.objectives) > 1:
        return f"must be another sampler than cma-es for {len(search.objectives)} objectives: it ranks by one score; take nsga2 or tpe"
    return None


def objective_mistakes(
    search: Search, *, select_by: str, selectable: Sequence[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield (place in `search`, sentence) for objectives that cannot be weighed."""
    known = (*selectable, *COSTS)
    for index, name in enumerate(search.objectives):
        if name not in known:
            sealed = (
                ": test is sealed, it is read by the report alone"
                if name.startswith("test/")
                else ""
            )
            yield ("objectives", index), f"must be one of {', '.join(known)}, got {name!r}{sealed}"
        elif name in search.objectives[:index]:
            yield (
                ("objectives", index),
                f"must differ from the objectives before it, got {name!r} again",
            )
    if search.objectives and search.objectives[0] != select_by:
        yield (
            ("objectives",),
            f"must begin with select_by ({select_by}), which ranks the arms that are confirmed, got {search.objectives[0]!r}",
        )
    if len(search.objectives) > 1 and search.pruner != "none":
        yield (
            ("pruner",),
            f"must be none for {len(search.objectives)} objectives: a pruner compares trials by one score, got {search.pruner!r}",
        )
