"""Pilot studies: a search or a tuning, whose trials choose what another study trains.

Their scores choose; they enter no conclusion.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from ablate.recipe.former_names import Levels, with_current_names

_FROZEN = ConfigDict(frozen=True, extra="forbid")
PilotKind = Literal["search", "tune"]


class Stage(BaseModel):
    """Says of a study that it is a pilot, and whose."""

    model_config = _FROZEN
    kind: PilotKind
    of_study: str
    """study_id of the study that it prepares."""
    n_trials: int
    """Trials that it was asked for; a search proposes them one after the other."""


class PilotTrial(BaseModel):
    """One trial of a pilot, in the order in which they were proposed."""

    model_config = _FROZEN
    trial_id: str
    arm: str
    """Name of what was tried; for a tuning, of the arm that was tuned."""
    levels: Levels
    """Axis -> level; for a tuning, field -> value."""
    state: str
    """How its last attempt ended."""
    n_epochs: int
    """Epochs that it trained."""
    scores: dict[str, float]
    """Objective -> score of a complete trial; empty for any other."""


class Pilot(BaseModel):
    """What a pilot was asked, and what came."""

    model_config = _FROZEN
    kind: PilotKind
    study_id: str
    seed: int
    n_asked: int
    """Trials that it was asked for."""
    objectives: tuple[str, ...]
    sampler: str = ""
    pruner: str = ""
    n_confirm: int = 0
    """Arms that were asked for in the confirmation."""
    space: Annotated[dict[str, str], BeforeValidator(with_current_names)] = {}
    """Axis -> what was searched, in words; for a tuning, field -> its levels."""
    trials: tuple[PilotTrial, ...] = ()
    front: tuple[str, ...] = ()
    """trial_ids that no other trial beats in every objective, the best by the first one first.

    For one objective, the best trial.
    """
    chosen: tuple[str, ...] = ()
    """trial_ids whose arms the study trains."""
