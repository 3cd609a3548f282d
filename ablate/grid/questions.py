"""What a grid asks in the user's words: comparisons that are declared before training."""

from __future__ import annotations

from ablate.grid.grid_file import Grid
from ablate.study.question import Question


def grid_questions(grid: Grid) -> tuple[Question, ...]:
    """The questions of a grid. An arm's axes that a question does not name are the baseline's."""
    questions = []
    for name, sides in grid.ask.items():
        if isinstance(sides, dict):
            # One axis: both sides leave the others open, so every pair of cells is compared.
            ((axis, (level, reference)),) = sides.items()
            question = Question(name=name, levels={axis: level}, against={axis: reference})
        else:
            # Two arms: each side becomes a whole cell.
            level_side, reference_side = sides
            question = Question(
                name=name,
                levels={**grid.baseline_cell, **level_side},
                against={**grid.baseline_cell, **reference_side},
            )
        questions.append(question)
    return tuple(questions)
