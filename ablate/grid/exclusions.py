"""Cells that are not trained, and why."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ablate.recipe.levels import asked_levels, meaning

MAX_EXCLUSIONS = 1_000


class Exclusion(BaseModel):
    """Cells that are not trained, and why. A cell matches when every named axis has one of the named levels."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    when: dict[str, Any] = Field(min_length=1, description="axis -> level, or a list of levels")
    why: str = Field(min_length=1, description="the reason; the report prints it")


When = tuple[tuple[str, frozenset[Hashable]], ...]
"""Axis -> the levels that a rule speaks of, as their fields keep them."""


class Rules:
    """The exclusions of a grid, ready to be asked of many cells: each rule is looked at only for cells that have a level of its first axis."""

    def __init__(self, exclusions: Sequence[Exclusion]) -> None:
        self._whys = [exclusion.why for exclusion in exclusions]
        self._whens = [_typed(exclusion.when) for exclusion in exclusions]
        self._numbers: dict[tuple[str, Hashable], list[int]] = {}
        for number, when in enumerate(self._whens):
            axis, levels = min(when, key=lambda part: len(part[1]))
            for level in levels:
                self._numbers.setdefault((axis, level), []).append(number)

    def why_not(self, cell: Mapping[str, Hashable]) -> str | None:
        """Why a cell, axis -> level as its field keeps it, is not trained, by the first rule that says so; None for one that is."""
        if not self._numbers:
            return None
        numbers = sorted(number for part in cell.items() for number in self._numbers.get(part, ()))
        for number in numbers:
            if all(axis in cell and cell[axis] in levels for axis, levels in self._whens[number]):
                return self._whys[number]
        return None


def _typed(when: Mapping[str, Any]) -> When:
    return tuple(
        (axis, frozenset(meaning(axis, level) for level in asked_levels(wanted)))
        for axis, wanted in when.items()
    )
