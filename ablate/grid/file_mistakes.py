"""Everything that is wrong in the values of a grid file: each field alone, then side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ablate.grid.axis_mistakes import axis_mistakes, tuned_mistakes
from ablate.grid.cell_mistakes import cell_mistakes
from ablate.grid.design import design_mistakes
from ablate.grid.grid_file import Grid
from ablate.grid.pydantic_errors import problems_of
from ablate.grid.question_mistakes import question_mistakes, unanswerable
from ablate.grid.search_mistakes import (
    design_fit_mistakes,
    range_mistakes,
    search_mistakes,
    tune_mistakes,
)
from ablate.grid.shapes import mapping_or_empty
from ablate.grid.task_mistakes import task_mistakes
from ablate.grid.wording import nearest, shown
from ablate.grid.yaml_lines import Problem
from ablate.recipe.recipe import Recipe
from ablate.study.class_groups import group_mistakes
from ablate.study.tasks import TASKS, USUAL_TASK, TaskSpec, task_of
from ablate.study.trial import contradiction_on


def file_mistakes(values: Mapping[str, Any]) -> list[Problem]:
    """Return all mistakes of a file, each once, with the path of the value that is wrong."""
    # Each check takes the file as it stands, so that none hides another one's mistake.
    axes = _levels_by_axis(values)
    problems = [
        *_field_mistakes(values),
        *axis_mistakes(values.get("axes")),
        *tuned_mistakes(values.get("tune")),
        *cell_mistakes(values, axes),
        *question_mistakes(values, axes),
        *_seed_mistakes(values.get("seeds")),
        *design_mistakes(values.get("design", "full"), axes),
        *design_fit_mistakes(values),
        *range_mistakes(mapping_or_empty(values.get("axes")), values.get("design")),
        *tune_mistakes(values),
        *_select_by_mistakes(values),
        *task_mistakes(values),
        *_class_mistakes(values),
        *_split_mistakes(values),
        *_whole_mistakes(values),
    ]
    # Only a file that is right so far can be expanded, which is what this takes.
    if not problems and values.get("ask"):
        problems += unanswerable(Grid.model_validate(values))
    # Two checks can say the same of one value; a dict keeps the first, in order.
    return list(dict.fromkeys(problems))


def _levels_by_axis(values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Axis -> its levels, for the axes that list some."""
    axes = {}
    for axis, levels in mapping_or_empty(values.get("axes")).items():
        # a choice of a search; a range has no `levels`, and is left out
        if isinstance(levels, dict):
            levels = levels.get("levels")
        if isinstance(levels, list):
            axes[axis] = levels
    return axes


def _field_mistakes(values: Mapping[str, Any]) -> Iterator[Problem]:
    """What pydantic finds in the fields by themselves."""
    try:
        Grid.model_validate(values)
    except ValidationError as error:
        for path, text in problems_of(error, values):
            # Without a path: nothing is wrong with one field, and the functions below say more.
            if path and not _is_checked_elsewhere(path, values):
                yield path, text


def _is_checked_elsewhere(path: tuple[str | int, ...], values: Mapping[str, Any]) -> bool:
    """Whether a function below finds the mistake too, and has better words for it."""
    # Missing is pydantic's to say; what it may be depends on the task, which pydantic ignores.
    if path[0] == "select_by":
        return "select_by" in values
    return path[:2] == ("data", "classes") or (path[0] in ("axes", "tune") and len(path) > 1)


def _seed_mistakes(seeds: Any) -> Iterator[Problem]:
    if not isinstance(seeds, list) or not all(map(_is_int, seeds)):
        return
    if len(set(seeds)) != len(seeds):
        yield ("seeds",), f"must differ from one another, got {shown(seeds)}"


def _select_by_mistakes(values: Mapping[str, Any]) -> Iterator[Problem]:
    """What chooses must be a score of the task."""
    if "select_by" not in values:
        return
    # A file whose task is wrong has a mistake for that already.
    task = TASKS.get(str(values.get("task")), TASKS[USUAL_TASK])
    choices = _val_scores(task)
    chosen = values["select_by"]
    if chosen not in choices:
        words = f"{', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}"
        yield ("select_by",), f"must be {words}, got {shown(chosen)}{nearest(chosen, choices)}"


def _val_scores(task: TaskSpec) -> tuple[str, ...]:
    """The scores that may choose, the primary one first; never of test, which only judges."""
    return tuple(f"val/{name}" for name in task.metric_names)


def _class_mistakes(values: Mapping[str, Any]) -> Iterator[Problem]:
    classes = mapping_or_empty(values.get("data")).get("classes")
    if classes is None:
        return
    for path, text in group_mistakes(classes):
        yield ("data", "classes", *path), text


def _split_mistakes(values: Mapping[str, Any]) -> Iterator[Problem]:
    """A pilot chooses with one split, and each seed has a split of its own."""
    data = mapping_or_empty(values.get("data"))
    design = values.get("design")
    has_pilot = bool(values.get("tune")) or (isinstance(design, dict) and "search" in design)
    for field in ("folds", "split"):
        if has_pilot and data.get(field) is not None:
            yield (
                ("data", field),
                "must be left out beside a search or tune: what they choose by, val of one split, "
                "is test of other seeds",
            )


def _whole_mistakes(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The baseline's cell must be trained, and the sampler must be one for the space."""
    try:
        grid = Grid.model_validate(values)
        if grid.search is not None:
            yield from search_mistakes(values, grid.axes, _val_scores(task_of(grid.task)))
            return
        cell = grid.baseline_cell
        recipe = Recipe.model_validate({**grid.base.model_dump(), **cell})
        # As the fields keep them (0.0 where the file says 0), which is how rules are indexed.
        levels = {axis: getattr(recipe, axis) for axis in cell}
        why = grid.rules.reason_excluded(levels) or contradiction_on(grid.data, recipe)
    except (ValidationError, AttributeError, KeyError, IndexError, TypeError):
        return  # only a file that is right so far can be asked; the others have mistakes already
    if why:
        yield ("baseline",), f"must be a cell that is trained, but it is excluded: {why}"


def _is_int(value: Any) -> bool:
    # bool is a subclass of int
    return isinstance(value, int) and not isinstance(value, bool)
