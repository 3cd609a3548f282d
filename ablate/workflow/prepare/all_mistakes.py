"""All mistakes at once, also those that only the data and the networks can tell.

A grid file is checked when it is read, the source when its images are found, backbones and weights
when networks are built. Whoever mends the first of these should not meet the second one after it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ablate.errors import DataError, RequestError, SpecError, WeightsError
from ablate.grid.grid_file import Grid
from ablate.grid.parse import lines_of, listed
from ablate.grid.search_space import Choice
from ablate.grid.yaml_lines import Mistake, Problem, YamlPath, dotted
from ablate.recipe.paths import WEIGHTS_WORDS
from ablate.recipe.recipe import Recipe
from ablate.workflow.requests import Request

_FIELD_OF_DATA = re.compile(r"(data(?:\.\w+)+) ")
_FIELD_OF_ARM = re.compile(r"arm .*: (\w+) must ")


@contextmanager
def all_mistakes(request: Request) -> Iterator[None]:
    """Within it, an error of the source or of an arm also names wrong backbones and weights.

    One mistake keeps its own error; several are a SpecError with a line for each.
    """
    try:
        yield
    except (DataError, SpecError, WeightsError) as error:
        problems = _problems(error, request.grid)
        if len(problems) == 1:
            raise
        raise SpecError(_listed(problems, request)) from error


def _problems(error: RequestError, grid: Grid) -> list[Problem]:
    """The error that stopped the study, and what else can be told without building a network."""
    met = str(error)
    problems: list[Problem] = []
    is_named = False
    for check, field in ((_check_backbone, "backbone"), (_check_weights, "weights")):
        for path, value in _asked(grid, field):
            text = _complaint(check, value)
            if text is None:
                continue
            # An arm's name may stand before it.
            is_named = is_named or met.endswith(text)
            problems.append((path, text.removeprefix(f"{field} ")))
    if not is_named:
        problems.insert(0, _placed(met, grid))
    return problems


def _asked(grid: Grid, field: str) -> Iterator[tuple[YamlPath, Any]]:
    """Where the grid says what `field` is, and what it says there.

    The default is not among it: it is right, and torch need not be imported to know that.
    """
    levels = {"axes": grid.axes.get(field), "tune": grid.tune.get(field)}
    found: list[tuple[YamlPath, Any]] = []
    for section, given in levels.items():
        path: YamlPath = (section, field)
        if isinstance(given, Choice):
            path = (*path, "levels")
            given = given.levels
        if isinstance(given, tuple):
            found.extend(((*path, i), level) for i, level in enumerate(given))
    # What an axis replaces in every arm is never looked at.
    if not found:
        found.append((("base", field), getattr(grid.base, field)))
    usual = Recipe.model_fields[field].default
    for place, value in found:
        if value != usual:
            yield place, value


def _check_backbone(backbone: str) -> None:
    from ablate.model.backbone import pretrained_cfg_of

    pretrained_cfg_of(backbone)


def _check_weights(weights: str) -> None:
    # Whether a hub can be reached, and whether tensors fit, takes seconds and a network.
    if weights not in WEIGHTS_WORDS:
        from ablate.model.weights.load import existing_file

        existing_file(weights)


def _complaint(check: Callable[[str], None], value: Any) -> str | None:
    try:
        check(value)
    except (SpecError, WeightsError) as error:
        return str(error)
    return None


def _placed(met: str, grid: Grid) -> Problem:
    """An error's message with the field that it is about."""
    of_data = _FIELD_OF_DATA.match(met)
    if of_data is not None:
        return tuple(of_data[1].split(".")), met[of_data.end() :]
    of_arm = _FIELD_OF_ARM.match(met)
    if of_arm is not None and of_arm[1] in Recipe.model_fields:
        section = "base"
        if of_arm[1] in grid.axes:
            section = "axes"
        return (section, of_arm[1]), met
    if met.startswith("arm "):
        return ("base",), met
    return ("data",), met


def _listed(problems: list[Problem], request: Request) -> str:
    """As mistakes of a file are listed; a grid that was made in Python has no lines."""
    grid = request.grid
    if request.file is None:
        lines = [f"grid {grid.name!r}: {len(problems)} mistakes, nothing was started"]
        for path, text in problems:
            lines.append(f"  {dotted(path)}: {text}")
        return "\n".join(lines)
    file = lines_of(request.file, settings=grid.settings)
    mistakes = []
    for path, text in problems:
        mistakes.append(Mistake(file.line(path), file.written(path), text))
    return listed(mistakes, str(request.file))
