"""What can be wrong with a search or a tuning, beyond what each value shows by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ablate.grid.search_space import COSTS, Range, Search, SearchAxis, space_of
from ablate.grid.seeds import DEFAULT_PILOT_SEED
from ablate.grid.yaml_lines import Problem
from ablate.recipe.levels import asked_levels
from ablate.recipe.recipe import Recipe

PILOT_AMONG_SEEDS = (
    "pilot_seed ({}) must not be among seeds: an arm that was chosen because of a score may not "
    "bring that score along"
)

_NOT_WITH_SEARCH: Mapping[str, str] = {
    "ask": "a search looks for good arms, and its arms are known only after it",
    "baseline": "a search compares the arms that it confirms with one another",
    "noise_floor": "it is the spread of the baseline, and a search has none; seeds give the "
    "spread of the arms that it confirms",
    "tune": "the search tunes every field that is an axis",
    "confirm": "its arms are confirmed as `confirm` of design.search says, with seeds that the "
    "search did not use",
    "around": "a search chooses its arms by results as it is; name the best one in a grid of its "
    "own as the baseline of a one_factor design",
}
"""Key -> why a search design does without it."""
# Optuna would not refuse these: it falls back to random draws, and only logs that it does.
_FEWEST_RANGES: Mapping[str, tuple[int, str]] = {
    "cma-es": (
        2,
        "it moves a normal distribution through ranges, and draws everything else at random",
    ),
    "qmc": (1, "it spreads points evenly over ranges, and draws everything else at random"),
}
"""Sampler -> how many unconditional ranges it needs, and why."""


def is_search(design: Any) -> bool:
    """Whether the file asks for a search, be its settings right or wrong."""
    return isinstance(design, dict) and "search" in design


def design_fit_mistakes(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Keys that the design needs or cannot use, and pilot seeds that would judge as well."""
    if is_search(values.get("design")):
        # By its value, not its presence: `tune: {}` and `confirm: null` ask for nothing.
        for key, why in _NOT_WITH_SEARCH.items():
            if values.get(key):
                yield (key,), f"must be left out in a search design: {why}"
    elif "baseline" not in values:
        yield ("baseline",), "must be given"
    yield from _pilot_seed_mistakes(values)


def _pilot_seed_mistakes(values: Mapping[str, Any]) -> Iterator[Problem]:
    has_pilot = is_search(values.get("design")) or bool(values.get("tune"))
    is_given = "pilot_seed" in values
    if is_given and not has_pilot:
        yield (
            ("pilot_seed",),
            "must be left out where nothing is searched or tuned: no trial uses it",
        )
    pilot_seed = values.get("pilot_seed", DEFAULT_PILOT_SEED)
    seeds = values.get("seeds")
    if has_pilot and isinstance(seeds, list) and pilot_seed in seeds:
        # Where the default is what collides, the line to look at is that of the seeds.
        key = "seeds"
        if is_given:
            key = "pilot_seed"
        yield (key,), PILOT_AMONG_SEEDS.format(pilot_seed)


def range_mistakes(axes: Mapping[str, Any], design: Any) -> Iterator[Problem]:
    """Ranges and conditions: only in a search, bounds in order, conditions on earlier axes."""
    # Axis -> its levels as written, None for a range: what a condition may name so far.
    earlier: dict[str, Any] = {}
    for name, axis in axes.items():
        if not isinstance(axis, dict):
            earlier[name] = axis
            continue
        # An axis that is no field of the recipe has its mistake already.
        if name in Recipe.model_fields:
            if not is_search(design):
                yield (
                    ("axes", name),
                    "must be a list of levels: ranges and conditions belong to a search design, "
                    "this design estimates effects of levels",
                )
            else:
                for path, text in (*_bound_mistakes(axis), *_condition_mistakes(axis, earlier)):
                    yield ("axes", name, *path), text
        earlier[name] = axis.get("levels")


def _bound_mistakes(axis: Mapping[str, Any]) -> Iterator[Problem]:
    low: Any = axis.get("low")
    high: Any = axis.get("high")
    if not _is_finite(low) or not _is_finite(high):
        return  # each bound has a mistake of its own
    if not low < high:
        yield ("high",), f"must be above low ({low}), got {high!r}"
    if axis.get("log") is True and low <= 0:
        yield ("low",), f"must be above 0 on a log scale, got {low!r}"


def _is_finite(bound: Any) -> bool:
    # bool is a subclass of int
    is_number = isinstance(bound, int | float) and not isinstance(bound, bool)
    return is_number and math.isfinite(bound)


def _condition_mistakes(axis: Mapping[str, Any], earlier: Mapping[str, Any]) -> Iterator[Problem]:
    when = axis.get("when")
    if not isinstance(when, dict):
        return
    for name, wanted in when.items():
        levels = earlier.get(name)
        if name not in earlier:
            names = ", ".join(earlier) or "there is none"
            yield (
                ("when", name),
                f"must be an axis that stands before this one ({names}), got {name!r}",
            )
        elif not isinstance(levels, list):
            yield (
                ("when", name),
                f"must be an axis with a list of levels, got {name!r}, which is a range",
            )
        else:
            # As the file spells them: 8 and 8.0 are equal in Python, and so they are here.
            for level in asked_levels(wanted):
                if level not in levels:
                    words = ", ".join(map(repr, levels))
                    yield (
                        ("when", name),
                        f"must be a level of axes.{name} ({words}), got {level!r}",
                    )


def tune_mistakes(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Fields that are tuned are no axes: an axis is compared, what is tuned is chosen."""
    tune = values.get("tune")
    axes = values.get("axes")
    if not isinstance(tune, dict) or not isinstance(axes, dict):
        return
    if tune and values.get("around"):
        yield (
            ("around",),
            "must be left out where arms are tuned: an arm that results add would not have been "
            "tuned as the others were; take design full",
        )
    for name in tune:
        if name in axes:
            yield (
                ("tune", name),
                "must not be an axis as well: axes are compared, what is tuned is chosen for "
                "each arm",
            )


def search_mistakes(
    values: Mapping[str, Any], axes: Mapping[str, Any], selectable: tuple[str, ...]
) -> Iterator[Problem]:
    """What a sampler or a pruner cannot do.

    Asked only where `axes` (as the grid keeps them) and the search are right by themselves.
    """
    try:
        search = Search.model_validate(values["design"]["search"])
        space = space_of(axes)
    except (ValidationError, KeyError, TypeError):
        return
    unable = _sampler_mistake(search, space)
    if unable:
        yield ("design", "search", "sampler"), unable
    select_by = str(values.get("select_by"))
    for path, text in (
        *_objective_mistakes(search, select_by=select_by, selectable=selectable),
        *_several_objectives_mistakes(search),
    ):
        yield ("design", "search", *path), text


def _sampler_mistake(search: Search, space: Mapping[str, SearchAxis]) -> str | None:
    """Why a sampler cannot search a space, or None."""
    # A range under a condition is not there in every trial, and these samplers need a fixed space.
    needed, why = _FEWEST_RANGES.get(search.sampler, (0, ""))
    n_ranges = 0
    for axis in space.values():
        n_ranges += isinstance(axis, Range) and not axis.when
    if n_ranges < needed:
        noun = "range"
        if needed > 1:
            noun = "ranges"
        return (
            f"must have at least {needed} {noun} without `when` for {search.sampler}, "
            f"got {n_ranges}: {why}; take tpe"
        )
    if search.sampler == "cma-es" and len(search.objectives) > 1:
        return (
            f"must be another sampler than cma-es for {len(search.objectives)} objectives: "
            "it ranks by one score; take nsga2 or tpe"
        )
    return None


def _objective_mistakes(
    search: Search, *, select_by: str, selectable: Sequence[str]
) -> Iterator[Problem]:
    """Objectives that cannot be weighed, each at its path inside `search`."""
    # Scores of val only: a search that saw test would choose by what has to judge it.
    known = (*selectable, *COSTS)
    for index, name in enumerate(search.objectives):
        if name not in known:
            hint = ""
            if name.startswith("test/"):
                hint = ": test is sealed, only the report reads it"
            yield ("objectives", index), f"must be one of {', '.join(known)}, got {name!r}{hint}"
        elif name in search.objectives[:index]:
            yield (
                ("objectives", index),
                f"must differ from the objectives before it, got {name!r} again",
            )
    if search.objectives and search.objectives[0] != select_by:
        yield (
            ("objectives",),
            f"must begin with select_by ({select_by}), which ranks the arms that are confirmed, "
            f"got {search.objectives[0]!r}",
        )


def _several_objectives_mistakes(search: Search) -> Iterator[Problem]:
    n_objectives = len(search.objectives)
    if n_objectives > 1 and search.pruner != "none":
        yield (
            ("pruner",),
            f"must be none for {n_objectives} objectives: a pruner compares trials by one score, "
            f"got {search.pruner!r}",
        )
