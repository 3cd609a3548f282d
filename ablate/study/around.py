"""Arms that results add to a study: the neighbours of its best arm that its design left out."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ablate.study.arm_record import ArmRecord


class Around(BaseModel):
    """What was added, apart from the arms of the design.

    A design chooses its arms before any result; these were chosen by results, so they answer what
    each choice of the best arm is worth, and nothing else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    champion_arm_id: str = ""
    """The arm whose neighbours were looked for last; empty until every planned trial has ended."""
    arms: tuple[ArmRecord, ...] = ()
    """Each with the cells that were added. An arm of the design may be among them: cells beside the
    best arm that its recipe answers, and that the design did not ask for."""
