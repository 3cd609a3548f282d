"""What a grid cannot ask of its task: refused where it stands in the file, with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ablate.grid.shapes import list_or_empty, mapping_or_empty
from ablate.grid.yaml_lines import Problem, YamlPath
from ablate.study.tasks import TASKS, TaskSpec


def task_mistakes(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Fields and levels that do not go with the task of a file; each with its path."""
    task = TASKS.get(str(values.get("task")))
    if task is None:
        return  # pydantic says what a task must be
    yield from _study_mistakes(values, task)
    # Levels as they stand in the file: what pydantic made of them has lost its place.
    for path, name, value in _recipe_values(values):
        rule = task.field_rules.get(name)
        if rule is not None and not rule.allows(value):
            must = f"must be {rule.wanted} for task {task.name}"
            yield path, f"{must}, got {value!r}: {rule.why}"


def _study_mistakes(values: Mapping[str, Any], task: TaskSpec) -> Iterator[Problem]:
    """Fields outside the recipe that must be null."""
    must = f"must be null for task {task.name}"
    data = values.get("data")
    has_groups = isinstance(data, dict) and data.get("classes") is not None
    if has_groups and task.why_no_class_groups is not None:
        yield ("data", "classes"), f"{must}: {task.why_no_class_groups}"
    has_target = values.get("target_precision") is not None
    if has_target and task.why_no_target_precision is not None:
        yield ("target_precision",), f"{must}: {task.why_no_target_precision}"


def _recipe_values(values: Mapping[str, Any]) -> Iterator[tuple[YamlPath, str, Any]]:
    """Every place of the file where a field of the recipe has a value: (path, field, value)."""
    # `baseline` and `exclude` are not here: their levels are those of an axis, refused there.
    for name, value in mapping_or_empty(values.get("base")).items():
        yield ("base", name), name, value
    for key in ("axes", "tune"):
        for name, levels in mapping_or_empty(values.get(key)).items():
            for within, value in _levels(levels):
                yield (key, name, *within), name, value


def _levels(levels: Any) -> Iterator[tuple[YamlPath, Any]]:
    """(path within the axis, value) of the levels of an axis or of tuning, or a range's bounds."""
    if isinstance(levels, dict):
        for bound in ("low", "high"):
            if bound in levels:
                yield (bound,), levels[bound]
        # A choice under a condition; a range has none.
        for index, level in enumerate(list_or_empty(levels.get("levels"))):
            yield ("levels", index), level
    else:
        for index, level in enumerate(list_or_empty(levels)):
            yield (index,), level
