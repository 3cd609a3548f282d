"""An arm of a study as its report reads it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ablate.recipe.former_names import Levels
from ablate.recipe.recipe import Recipe


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
