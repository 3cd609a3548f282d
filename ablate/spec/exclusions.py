"""Cells that are not trained, and why."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ablate.spec.levels import asked_levels, meaning

MAX_EXCLUSIONS = 1_000


class Exclusion(BaseModel):
    """Cells that are not trained, and why. A cell matches when every named axis has one of the named levels."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    when: dict[str, Any] = Field(min_length=1, description="axis -> level, or a list of levels")
    why: str = Field(min_length=1, description="the reason; the report prints it")


@dataclass(frozen=True, slots=True)
class _Rule:
    when: tuple[tuple[str, frozenset[Hashable]], ...]
    why: str


class Rules:
    """The exclusions of a grid, ready to be asked of many cells."""

    def __init__(self, exclusions: Sequence[Exclusion]) -> None:
        self._rules = [
            _Rule(
                tuple((axis, frozenset(meaning(axis, level) for level in asked_levels(wanted))) for axis, wanted in one.when.items()),
                one.why,
            )
            for one in exclusions
        ]

    def why_not(self, cell: Mapping[str, Hashable]) -> str | None:
        """Why a cell, axis -> level as its field keeps it, is not trained; None for one that is."""
        for rule in self._rules:
            if all(axis in cell and cell[axis] in levels for axis, levels in rule.when):
                return rule.why
        return None
