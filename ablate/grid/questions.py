"""What a grid asks in the user's words: comparisons that are declared before training."""

from __future__ import annotations

from ablate.grid.grid_file import Grid
from ablate.study.question import Question


def grid_questions(grid: Grid) -> tuple[Question, ...]:
    """The questions of a grid. An arm's axes that a question does not name are the baseline's."""
    questions = []
    for name, sides in grid.ask.items():
        if isinstance(sides, dict):
            ((axis, (level, reference)),) = sides.items()
            question = Question(name=name, levels={axis: level}, against={axis: reference})
        else:
            cell, other = ({**grid.baseline_cell, **side} for side in sides)
            question = Question(name=name, levels=cell, against=other)
        questions.append(question)
    return tuple(questions)
