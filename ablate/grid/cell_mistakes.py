"""Axes and levels that `baseline`, `exclude` or `ask` names and the grid does not have."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.grid.search_mistakes import is_search
from ablate.grid.shapes import mapping_or_empty
from ablate.grid.wording import nearest, shown, shown_levels
from ablate.grid.yaml_lines import Problem, YamlPath
from ablate.recipe.levels import asked_levels, meaning


@dataclass(frozen=True, slots=True)
class KnownAxis:
    """The levels of an axis, as they are written and as they are meant."""

    levels: list[Any]
    meanings: frozenset[Hashable]


def cell_mistakes(values: Mapping[str, Any], axes: Mapping[str, list[Any]]) -> Iterator[Problem]:
    """Yield what is wrong in `baseline` and in the `when` of each exclusion.

    `axes`: axis -> its levels, as the file has them.
    """
    # Once for all exclusions: a file can have a thousand of them.
    known = known_axes(axes)
    if not is_search(values.get("design")):
        for axis, level in mapping_or_empty(values.get("baseline")).items():
            yield from level_mistakes(("baseline",), axis, [level], known)
    exclusions = values.get("exclude")
    if not isinstance(exclusions, list):
        return
    for index, exclusion in enumerate(exclusions):
        path = ("exclude", index, "when")
        # pydantic says what is wrong with an exclusion that is no mapping; here it names no axis.
        for axis, wanted in mapping_or_empty(mapping_or_empty(exclusion).get("when")).items():
            if wanted == [] and axis in known:
                yield (*path, axis), "must be a level or a list of at least one, got []"
            yield from level_mistakes(path, axis, asked_levels(wanted), known)


def known_axes(axes: Mapping[str, list[Any]]) -> dict[str, KnownAxis]:
    """The axes by name, each with what its levels mean."""
    known = {}
    for axis, levels in axes.items():
        known[axis] = KnownAxis(levels, frozenset(meaning(axis, level) for level in levels))
    return known


def level_mistakes(
    path: YamlPath, axis: str, levels: Sequence[Any], known: Mapping[str, KnownAxis]
) -> Iterator[Problem]:
    """Yield that an axis is none of the grid's, or which of `levels` are none of its levels."""
    if axis not in known:
        names = ", ".join(known) or "it has none"
        yield (
            (*path, str(axis)),
            f"must be an axis of this grid ({names}), got {shown(axis)}{nearest(axis, known)}",
        )
        return
    for level in levels:
        # By meaning, since the file may say 0 here and 0.0 among the levels.
        if meaning(axis, level) not in known[axis].meanings:
            written = known[axis].levels
            yield (
                (*path, axis),
                f"must be a level of axes.{axis} ({shown_levels(written)}), "
                f"got {shown(level)}{nearest(level, written)}",
            )
