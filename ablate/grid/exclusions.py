"""Cells that are not trained, and why."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ablate.recipe.levels import asked_levels, meaning

# Files made by programs can have very many; each is a sentence in the report.
MAX_EXCLUSIONS = 1_000


class Exclusion(BaseModel):
    """Cells that are not trained, and why.

    A cell matches when every named axis has one of the named levels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    when: dict[str, Any] = Field(min_length=1, description="axis -> level, or a list of levels")
    why: str = Field(min_length=1, description="the reason; the report prints it")


When = tuple[tuple[str, frozenset[Hashable]], ...]
"""Axis -> the levels that a rule speaks of, as their fields keep them."""


class Rules:
    """The exclusions of a grid, indexed so that many cells can be checked quickly.

    A rule is tested only against cells that have one of the levels of its most selective axis.
    """

    def __init__(self, exclusions: Sequence[Exclusion]) -> None:
        self._reasons: list[str] = []
        self._whens: list[When] = []
        # (axis, level) -> numbers of the rules that stand under it, each under one axis only.
        self._numbers: dict[tuple[str, Hashable], list[int]] = {}
        for number, exclusion in enumerate(exclusions):
            when = _typed_when(exclusion.when)
            self._reasons.append(exclusion.why)
            self._whens.append(when)
            # The axis with the fewest levels: fewest cells have to be compared with the rule.
            axis, levels = min(when, key=lambda part: len(part[1]))
            for level in levels:
                self._numbers.setdefault((axis, level), []).append(number)

    def reason_excluded(self, cell: Mapping[str, Hashable]) -> str | None:
        """Why a cell, axis -> level as its field keeps it, is not trained; None for one that is.

        Where several rules match, the first of the file gives the reason.
        """
        if not self._numbers:
            return None
        numbers: list[int] = []
        for axis_and_level in cell.items():
            numbers += self._numbers.get(axis_and_level, ())
        # By number, not in the order of the cell's axes: the first rule of the file is to answer.
        for number in sorted(numbers):
            if _matches(self._whens[number], cell):
                return self._reasons[number]
        return None


def _matches(when: When, cell: Mapping[str, Hashable]) -> bool:
    # A search's cell lacks the axes that are not active in it: they match nothing.
    return all(axis in cell and cell[axis] in levels for axis, levels in when)


def _typed_when(when: Mapping[str, Any]) -> When:
    parts = []
    for axis, wanted in when.items():
        levels = frozenset(meaning(axis, level) for level in asked_levels(wanted))
        parts.append((axis, levels))
    return tuple(parts)
