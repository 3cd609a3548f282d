"""What can be wrong with the axes of a search, or with the fields that every arm is tuned in, beyond what each value says by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ablate.grid.search_space import Search, objective_mistakes, sampler_mistake, space_of
from ablate.recipe.recipe import Recipe

Found = tuple[tuple[str | int, ...], str]
PILOT_AMONG_SEEDS = "pilot_seed ({}) must not be among seeds: an arm that was chosen because of a score may not bring that score along"
_NOT_WITH_SEARCH: Mapping[str, str] = {
    "baseline": "a search compares the arms that it confirms with one another",
    "noise_floor": "it is the spread of the baseline, and a search has none; seeds give the spread of the arms that it confirms",
    "tune": "the search tunes every field that is an axis",
}
"""Key -> why a search design does without it."""


def is_search(design: Any) -> bool:
    """Whether the file asks for a search, right or wrong."""
    return isinstance(design, dict) and "search" in design


def design_fit_mistakes(values: Mapping[str, Any]) -> Iterator[Found]:
    """Keys that the design needs, or has no use for; seeds that chose and would then be judged by."""
    if is_search(values.get("design")):
        yield from (
            ((key,), f"must be left out in a search design: {why}")
            for key, why in _NOT_WITH_SEARCH.items()
            if values.get(key)
        )
    elif "baseline" not in values:
        yield ("baseline",), "must be given"
    has_pilot = is_search(values.get("design")) or bool(values.get("tune"))
    if "pilot_seed" in values and not has_pilot:
        yield (
            ("pilot_seed",),
            "must be left out where nothing is searched or tuned: no trial has it",
        )
    pilot, seeds = values.get("pilot_seed", 1000), values.get("seeds")
    if has_pilot and isinstance(seeds, list) and pilot in seeds:
        yield (
            ("pilot_seed" if "pilot_seed" in values else "seeds",),
            PILOT_AMONG_SEEDS.format(pilot),
        )


def range_mistakes(axes: Mapping[str, Any], design: Any) -> Iterator[Found]:
    """Ranges and conditions: bounds in order, conditions on axes before, and only in a search."""
    before: dict[str, Any] = {}
    for name, axis in axes.items():
        if isinstance(axis, dict) and name in Recipe.model_fields:
            if not is_search(design):
                yield (
                    ("axes", name),
                    "must be a list of levels: ranges and conditions belong to a search design, this one estimates effects of levels",
                )
            else:
                yield from (
                    (("axes", name, *place), text)
                    for place, text in (*_bounds(axis), *_conditions(axis, before))
                )
        before[name] = axis.get("levels") if isinstance(axis, dict) else axis


def _bounds(axis: Mapping[str, Any]) -> Iterator[Found]:
    low, high = axis.get("low"), axis.get("high")
    if not all(
        isinstance(bound, int | float) and not isinstance(bound, bool) and math.isfinite(bound)
        for bound in (low, high)
    ):
        return
    if not low < high:  # type: ignore[operator]
        yield ("high",), f"must be above low ({low}), got {high!r}"
    if axis.get("log") is True and low <= 0:  # type: ignore[operator]
        yield ("low",), f"must be above 0 on a log scale, got {low!r}"


def _conditions(axis: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[Found]:
    when = axis.get("when")
    for name, wanted in when.items() if isinstance(when, dict) else ():
        if name not in before:
            yield (
                ("when", name),
                f"must be an axis that stands before this one ({', '.join(before) or 'there is none'}), got {name!r}",
            )
        elif not isinstance(before[name], list):
            yield (
                ("when", name),
                f"must be an axis with a list of levels, got {name!r}, which is a range",
            )
        else:
            for level in wanted if isinstance(wanted, list) else [wanted]:
                if level not in before[name]:
                    yield (
                        ("when", name),
                        f"must be a level of axes.{name} ({', '.join(map(repr, before[name]))}), got {level!r}",
                    )


def tune_mistakes(values: Mapping[str, Any]) -> Iterator[Found]:
    """Fields that are tuned are no axes: an axis is compared, what is tuned is chosen."""
    tune, axes = values.get("tune"), values.get("axes")
    if not isinstance(tune, dict) or not isinstance(axes, dict):
        return
    for name in tune:
        if name in axes:
            yield (
                ("tune", name),
                "must not be an axis as well: axes are compared, what is tuned is chosen for each arm",
            )


def search_mistakes(
    values: Mapping[str, Any], axes: Mapping[str, Any], selectable: tuple[str, ...]
) -> Iterator[Found]:
    """What a sampler and a pruner cannot do; asked only where `axes` (as the grid keeps them) and the search are right by themselves."""
    try:
        search = Search.model_validate(values["design"]["search"])
        space = space_of(axes)
    except (ValidationError, KeyError, TypeError):
        return
    unable = sampler_mistake(search, space)
    if unable:
        yield ("design", "search", "sampler"), unable
    for place, text in objective_mistakes(
        search, select_by=str(values.get("select_by")), selectable=selectable
    ):
        yield ("design", "search", *place), text
