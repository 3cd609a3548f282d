"""A question that a grid declares before training: one side of a comparison against the other."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ablate.recipe.former_names import Levels


class Question(BaseModel):
    """Cells with the levels of `levels`, each against the cell that differs in those axes alone.

    Both sides name the same axes: one for a level, all of them for two arms.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    """In the user's words, unique within the study."""
    levels: Levels
    """Axis -> level."""
    against: Levels
    """Axis -> level of the reference."""

    @property
    def changed(self) -> tuple[str, ...]:
        """The axes in which the two sides differ."""
        changed = []
        for axis, level in self.levels.items():
            # Both sides name the same axes: a checked grid has no question of another form.
            if level != self.against[axis]:
                changed.append(axis)
        return tuple(changed)
