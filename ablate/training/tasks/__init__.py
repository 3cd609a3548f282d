"""What is learned: a task knows its loss and its scores, and nothing of loops.

`TASKS` has the class of each task; a new one is a file here and an entry there.
"""

from __future__ import annotations

from ablate.recipe.recipe import Recipe
from ablate.study.tasks.classification import CLASSIFICATION
from ablate.study.tasks.multilabel import MULTILABEL
from ablate.training.tasks._base import Forward, Task, TrainTargets
from ablate.training.tasks.classification import Classification
from ablate.training.tasks.multilabel import Multilabel

__all__ = ["TASKS", "Forward", "Task", "TrainTargets", "make_task", "serving_task"]

TASKS: dict[str, type[Task]] = {
    CLASSIFICATION.name: Classification,
    MULTILABEL.name: Multilabel,
}
"""By the name of the task."""


def make_task(task: str, recipe: Recipe, train: TrainTargets, *, device: str) -> Task:
    """The loss that a recipe asks for, on the train images that a trial uses."""
    return TASKS[task].for_training(recipe, train, device=device)


def serving_task(task: str, recipe: Recipe) -> Task:
    """What predicts as the recipe's trials did."""
    return TASKS[task].for_serving(recipe)
