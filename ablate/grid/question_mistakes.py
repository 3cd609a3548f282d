"""What is wrong with the questions of a grid: their words, and whether its arms can answer them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ablate.grid.cell_mistakes import KnownAxis, known_axes, level_mistakes
from ablate.grid.expand import Expansion, expand
from ablate.grid.grid_file import Grid
from ablate.grid.questions import grid_questions
from ablate.grid.wording import shown
from ablate.grid.yaml_lines import Problem, YamlPath
from ablate.study.question import Question
from ablate.study.record import ExcludedCell

MAX_NAME = 80
"""Characters of a question: it stands in tables and at figures."""
# The second form may name several axes; the first compares within one, over all cells.
_FORMS = "{axis: [level, reference level]} or two arms, [{axis: level}, {axis: level}]"


def question_mistakes(
    values: Mapping[str, Any], axes: Mapping[str, list[Any]]
) -> Iterator[Problem]:
    """Yield what is wrong in the words of the questions: their names, axes and levels.

    `axes`: axis -> its levels, as the file has them.
    """
    asked = values.get("ask")
    if not isinstance(asked, dict):
        return
    known = known_axes(axes)
    earlier: set[str] = set()
    for name, sides in asked.items():
        path = ("ask", name)
        yield from _name_mistakes(path, name, earlier)
        if isinstance(sides, dict):
            yield from _mistakes_of_levels(path, sides, known)
        elif isinstance(sides, list):
            yield from _mistakes_of_arms(path, sides, known)
        else:
            yield path, f"must be {_FORMS}, got {shown(sides)}"


def _name_mistakes(path: YamlPath, name: Any, earlier: set[str]) -> Iterator[Problem]:
    if not isinstance(name, str) or not name.strip() or len(name.splitlines()) > 1:
        yield path, f"must be called by a line of text, got {shown(name)}"
        return
    if len(name) > MAX_NAME:
        yield path, f"must have a name of at most {MAX_NAME} characters, got {len(name)}"
    # Names that differ in case or spaces alone would be one to a reader.
    folded = " ".join(name.casefold().split())
    if folded in earlier:
        yield path, f"must differ from the questions before it, got {shown(name)} again"
    earlier.add(folded)


def _mistakes_of_levels(
    path: YamlPath, sides: Mapping[str, Any], known: Mapping[str, KnownAxis]
) -> Iterator[Problem]:
    if len(sides) != 1:
        yield (
            path,
            f"must name one axis, got {len(sides)}; to compare two arms, write them in a list: "
            "[{axis: level}, {axis: level}]",
        )
        return
    ((axis, pair),) = sides.items()
    if not isinstance(pair, list) or len(pair) != 2:
        yield (*path, axis), f"must be [level, reference level], got {shown(pair)}"
        return
    # A level that the axis lacks is one mistake, not also two that are equal.
    wrong = list(level_mistakes(path, axis, pair, known))
    yield from wrong
    if not wrong and pair[0] == pair[1]:
        yield (*path, axis), f"must be two different levels, got {shown(pair[0])} twice"


def _mistakes_of_arms(
    path: YamlPath, sides: list[Any], known: Mapping[str, KnownAxis]
) -> Iterator[Problem]:
    if len(sides) != 2:
        yield path, f"must be two arms, each as {{axis: level}}, got {len(sides)}"
        return
    for index, side in enumerate(sides):
        if not isinstance(side, dict):
            yield (*path, index), f"must be an arm as {{axis: level}}, got {shown(side)}"
            continue
        for axis, level in side.items():
            yield from level_mistakes((*path, index), axis, [level], known)


def unanswerable(grid: Grid) -> Iterator[Problem]:
    """Yield the questions of an otherwise right grid that no arms of it can answer."""
    if not grid.ask:
        return
    # Which cells are trained and which are one arm depends on the grid alone, so any data will do.
    expansion = expand(grid, data=grid.data, fingerprint="")
    for question in grid_questions(grid):
        why = _why_unanswerable(question, expansion)
        if why:
            yield ("ask", question.name), why


def _why_unanswerable(question: Question, expansion: Expansion) -> str:
    """Why nothing can be compared; empty where something can."""
    arms: dict[str, str] = {}  # a cell's key -> id of the arm that answers it
    for arm in expansion.arms:
        for cell in arm.cells:
            arms[_key(cell)] = arm.arm_id
    # One pair of cells that two arms answer is enough.
    n_same = 0
    for arm in expansion.arms:
        for cell in arm.cells:
            if not question.levels.items() <= cell.items():
                continue
            other = arms.get(_key({**cell, **question.against}))
            if other is not None and other != arm.arm_id:
                return ""
            n_same += other == arm.arm_id
    if n_same:
        return "must compare two arms, but both sides are one: the difference cannot matter there"
    # From the plainest reason to the vaguest: the first that holds is said.
    for side in (question.levels, question.against):
        absent = _why_absent(side, arms, expansion.excluded)
        if absent:
            return absent
    return "must have cells to compare, but no two trained cells differ in this alone"


def _why_absent(
    side: Mapping[str, Any], arms: Mapping[str, str], excluded: tuple[ExcludedCell, ...]
) -> str:
    """Why a side that is one cell is not trained; empty for a side of several cells."""
    if _key(side) in arms:
        return ""
    words = " ".join(f"{axis}={level}" for axis, level in side.items())
    for cell in excluded:
        if cell.cell == side:
            return f"must name arms that are trained, but {words} is excluded: {cell.why}"
    # A side with several axes names all of them, so it is one cell.
    if len(side) > 1:
        return f"must name arms that are trained, but {words} is not: the design leaves it out"
    return ""


def _key(cell: Mapping[str, Any]) -> str:
    """A cell as text that is equal for equal cells, whatever the order of their axes."""
    return repr(sorted(cell.items()))
