"""The tasks that there are. A new one is a file and an entry of a registry on each floor:

    ablate.study.tasks.TASKS             names, metrics and their words, what a grid may not ask
    ablate.targets.TARGETS               the labels of images, by `TaskSpec.targets`
    ablate.targets.codecs.CODECS         what a trial stores of its predictions
    ablate.metrics.SCORING               scores, and scores on resampled images
    ablate.training.tasks.TASKS          forward pass, loss, predictions
    ablate.reporting.predictions.READERS what a report reads of the predictions

`tests/tasks` holds what each of them must keep, for every task.
"""

from __future__ import annotations

from collections.abc import Iterator

from ablate.errors import CheckFailed
from ablate.study.tasks._base import FieldRule, HubMetric, Metric, TaskSpec
from ablate.study.tasks.classification import CLASSIFICATION
from ablate.study.tasks.multilabel import MULTILABEL

__all__ = [
    "TASKS",
    "USUAL_TASK",
    "FieldRule",
    "HubMetric",
    "Metric",
    "TaskSpec",
    "all_metric_names",
    "is_lower_better",
    "metric_prose",
    "task_names",
    "task_of",
]

TASKS: dict[str, TaskSpec] = {task.name: task for task in (CLASSIFICATION, MULTILABEL)}
"""By name."""
USUAL_TASK = CLASSIFICATION.name
"""What a grid file most likely means, and what functions take that are not told."""


def task_of(name: str) -> TaskSpec:
    """The task called `name`. Raises CheckFailed: grid files and records were checked before."""
    if name not in TASKS:
        raise CheckFailed(f"a task must be one of {', '.join(TASKS)}, got {name!r}")
    return TASKS[name]


def task_names() -> tuple[str, ...]:
    """Every task's name, in the order of the registry."""
    return tuple(TASKS)


def all_metric_names() -> tuple[str, ...]:
    """Every metric of any task, each once, in the order of the tasks and of their tables."""
    # A dict keeps the order and each name once: tasks share metrics.
    names = dict.fromkeys(metric.name for metric in _metrics())
    return tuple(names)


def is_lower_better(name: str) -> bool:
    """Whether a metric, named without its split, is better when low.

    All tasks mean the same by a name.
    """
    for metric in _metrics():
        if metric.name == name:
            return metric.is_lower_better
    return False


def metric_prose(name: str) -> str:
    """A metric's name in a sentence, whichever task has it; any other name stays as it is."""
    for metric in _metrics():
        if metric.name == name:
            return metric.prose
    return name


def _metrics() -> Iterator[Metric]:
    for task in TASKS.values():
        yield from task.metrics
