"""An arm of a study as its report reads it."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from ablate.in_order import places
from ablate.recipe.former_names import Levels
from ablate.recipe.recipe import Recipe
from ablate.study.trial import Trial


class ArmRecord(BaseModel):
    """One arm: its recipe and every cell of the grid that it stands for."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    arm_id: str
    name: str
    """Readable and unique within the study, e.g. "freeze_depth=all augment=none".

    Only axes that matter for the arm are in it.
    """
    recipe: Recipe
    cells: tuple[Levels, ...]
    """axis -> level for each grid cell that this arm answers; several where cells were merged."""
    tuned: Levels = {}
    """Field -> the value that the arm was tuned to; no part of its name."""

    @property
    def slug(self) -> str:
        """The name as a file name: letters, digits, `-`, `_` and `.` only."""
        letters = []
        # "freeze_depth=all augment=none" -> "freeze_depth-all__augment-none"
        for letter in self.name.replace(" ", "__").replace("=", "-"):
            if letter.isalnum() or letter in "-_.":
                letters.append(letter)
            else:
                letters.append("-")
        return "".join(letters)


def arms_by_id(arms: Iterable[ArmRecord]) -> dict[str, ArmRecord]:
    """arm_id -> arm, in the order of `arms`; its keys serve as the set of their ids.

    An arm that comes twice is kept once, as it came last.
    """
    # No cached property of the record: a copy of a pydantic model takes cached values along, and
    # a record that was copied with other arms would answer with its former ones.
    by_id = {}
    for arm in arms:
        by_id[arm.arm_id] = arm
    return by_id


def arm_places(arms: Iterable[ArmRecord]) -> dict[str, int]:
    """arm_id -> its place among `arms`, and so its row in arrays of scores."""
    return places(arm.arm_id for arm in arms)


def trial_names(arms: Iterable[ArmRecord], trials: Iterable[Trial]) -> dict[str, str]:
    """trial_id -> what a reader calls the trial; every trial is of one of `arms`."""
    by_id = arms_by_id(arms)
    names = {}
    for trial in trials:
        names[trial.trial_id] = f"{by_id[trial.arm_id].name}, seed {trial.seed}"
    return names
