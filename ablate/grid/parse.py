"""Grid files in, `Grid` out: all mistakes of a file at once, each with its line, what must hold, what came and the nearest valid word."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ablate.errors import SpecError
from ablate.grid.design import design_mistakes
from ablate.grid.file_names import check_name
from ablate.grid.former_fields import with_current_fields
from ablate.grid.grid_file import Grid
from ablate.grid.scalars import number_hint
from ablate.grid.search_mistakes import (
    design_fit_mistakes,
    is_search,
    range_mistakes,
    search_mistakes,
    tune_mistakes,
)
from ablate.grid.search_space import Choice, Range
from ablate.grid.task_mistakes import task_mistakes
from ablate.grid.yaml_lines import MAX_BYTES, Mistake, PlacedYaml, read_yaml
from ablate.grid.yaml_lines import Path as Place
from ablate.recipe.canonical import contradiction
from ablate.recipe.levels import MAX_LEVELS, as_written, asked_levels, meaning
from ablate.recipe.recipe import Recipe
from ablate.study.class_groups import group_mistakes
from ablate.study.tasks import TASKS, USUAL_TASK, task_of

_NOT_HERE = {
    "pruner": ": pruners belong to a search; effects that are estimated without the trials that one ended early would be too good"
}
"""Field -> why it is none, where somebody may look for it."""
_FROM_ELSEWHERE = {
    "name": "is not a field here: a grid is called as its file is",
    "question": "is not a field here: the question of a grid is the first comment of its file",
}
"""What a `Grid` has and its file does not say in a field -> where it comes from."""
_MOST = 100
"""Mistakes that one message lists."""


def load_grid(path: Path) -> Grid:
    """Read and check a grid file. Raises SpecError that lists every mistake with its line."""
    check_name(path)
    try:
        with path.open("rb") as file:
            text = file.read(4 * MAX_BYTES + 1).decode("utf-8-sig")
    except OSError as error:
        raise SpecError(
            f"{path}: a grid file must be readable text: {error.strerror or error}"
        ) from None
    except UnicodeDecodeError as error:
        odd = error.object[error.start]
        raise SpecError(
            f"{path}: a grid file must be readable text in UTF-8, got byte 0x{odd:02x} at position {error.start}; save it as UTF-8"
        ) from None
    return parse_grid(text, name=path.stem, shown_as=str(path))


def parse_grid(text: str, *, name: str, shown_as: str) -> Grid:
    """Check the text of a grid file called `name`. Raises SpecError; `shown_as` is the file's name in its message."""
    try:
        placed = with_current_fields(read_yaml(text))
    except SpecError as error:
        raise SpecError(f"{shown_as}: {error}") from None
    if not isinstance(placed.values, dict):
        raise SpecError(
            f"{shown_as}: a grid file must be a mapping with task, data, base, axes, seeds, baseline and select_by, got {_shown(placed.values)}"
        )
    values = as_written({**placed.values, "name": name, "question": _first_comment(text)})
    mistakes = [*placed.mistakes, *_from_elsewhere(placed), *_mistakes(values, placed)]
    if mistakes:
        raise SpecError(_listed(mistakes, shown_as))
    return Grid.model_validate(values)


def _listed(mistakes: list[Mistake], shown_as: str) -> str:
    """All mistakes in the order of their lines, of very many the first."""
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    lines = [f"  {mistake}" for mistake in sorted(mistakes, key=lambda mistake: mistake.line)]
    more = [f"  and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
    return "\n".join([f"{shown_as}: {count}, nothing was started", *lines[:_MOST], *more])


def _from_elsewhere(placed: PlacedYaml) -> Iterator[Mistake]:
    for name, why in _FROM_ELSEWHERE.items():
        if name in placed.values:
            yield Mistake(placed.line((name,)), (name,), why)


def nearest(word: object, among: Iterable[str]) -> str:
    """`; did you mean 'light'?` for a word that is close to one of `among`, else an empty text."""
    if len(str(word)) > 100:
        return ""
    close = difflib.get_close_matches(str(word), [str(one) for one in among], n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _mistakes(values: dict[str, Any], placed: PlacedYaml) -> Iterator[Mistake]:
    for place, text in _unique(
        [
            *_field_mistakes(values),
            *_axis_mistakes(values),
            *_tuned_mistakes(values),
            *_reference_mistakes(values),
        ]
    ):
        yield Mistake(placed.line(place), placed.written(place), text)


def _unique(pairs: Iterable[tuple[Place, str]]) -> list[tuple[Place, str]]:
    return list(dict.fromkeys(pairs))


def _field_mistakes(values: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """What pydantic finds in the fields by themselves."""
    try:
        Grid.model_validate(values)
    except ValidationError as error:
        elsewhere = {"select_by"} if "select_by" in values else set()  # see _select_by_mistakes
        placed = (
            (place, text) for place, text in _sentences(error, values) if place
        )  # without: a key that is no text, which the reader has told
        found = (
            (place, text)
            for place, text in placed
            if place[0] not in elsewhere and place[:2] != ("data", "classes")
        )
        yield from (
            (place, text)
            for place, text in found
            if len(place) < 2 or place[0] not in ("axes", "tune")
        )


def _axis_mistakes(values: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """Every axis must be a field of base, every level a value of that field."""
    axes = values.get("axes")
    if not isinstance(axes, dict):
        return
    for axis, levels in axes.items():
        if axis not in Recipe.model_fields:
            yield (
                ("axes", axis),
                f"must be a field of base, got {_shown(axis)}{nearest(axis, Recipe.model_fields)}",
            )
        elif isinstance(levels, dict):
            yield from _searched_mistakes(axis, levels)
        else:
            yield from _level_mistakes(("axes", axis), levels)


def _searched_mistakes(axis: str, searched: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """A range or a conditional list of levels: right in itself, and made of values of the field."""
    model = Choice if "levels" in searched else Range
    try:
        model.model_validate(searched)
    except ValidationError as error:
        yield from (
            (("axes", axis, *place), text)
            for place, text in _sentences(error, searched, root=model)
        )
        return
    if model is Choice:
        yield from _level_mistakes(("axes", axis, "levels"), searched["levels"])
    else:
        yield from (
            found
            for bound in ("low", "high")
            for found in _value_mistakes(("axes", axis, bound), axis, searched[bound])
        )


def _tuned_mistakes(values: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """Every tuned field must be one of base, with at least two levels to choose from."""
    for name, levels in _mapping(values.get("tune")).items():
        if name not in Recipe.model_fields:
            yield (
                ("tune", name),
                f"must be a field of base, got {_shown(name)}{nearest(name, Recipe.model_fields)}",
            )
        elif isinstance(levels, list) and len(levels) == 1:
            yield (
                ("tune", name),
                f"must have at least two levels to choose from, got {_shown(levels)}",
            )
        else:
            yield from _level_mistakes(("tune", name), levels)


def _level_mistakes(place: Place, levels: Any) -> Iterator[tuple[Place, str]]:
    """Each level must be a value of the field, and mean something else than those before it, however they are written."""
    if not isinstance(levels, list) or not levels:
        yield place, f"must be a list of at least one level, got {_shown(levels)}"
        return
    if len(levels) > MAX_LEVELS:
        yield (
            place,
            f"must have at most {MAX_LEVELS} levels, got {len(levels)}; a search takes a range of them",
        )
        return
    name = str(place[1])
    earlier: dict[Hashable, str] = {}
    for index, level in enumerate(levels):
        known, shown = meaning(name, level), _shown(level)
        if known in earlier:
            again = "again" if shown == earlier[known] else f"which is {earlier[known]} again"
            yield (
                (*place, index),
                f"must differ from the levels before it, got {shown} {again}".replace(
                    " which", ", which"
                ),
            )
        earlier.setdefault(known, shown)
        yield from _value_mistakes((*place, index), name, level)


def _value_mistakes(place: Place, name: str, value: Any) -> Iterator[tuple[Place, str]]:
    """What a field does not take; where it is a part of the value, the place of that part."""
    try:
        Recipe.model_validate({name: value})
    except ValidationError as error:
        for within, text in _sentences(error, {name: value}, root=Recipe):
            yield (*place, *within[1:]), text


def _reference_mistakes(values: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """`baseline` and `exclude` must speak of axes and levels that exist; seeds must differ; the baseline must be trained."""
    asked = _mapping(values.get("axes"))
    levels_of = {
        axis: levels.get("levels") if isinstance(levels, dict) else levels
        for axis, levels in asked.items()
    }
    axes = {axis: levels for axis, levels in levels_of.items() if isinstance(levels, list)}
    meanings = {
        axis: frozenset(meaning(axis, level) for level in levels) for axis, levels in axes.items()
    }
    if not is_search(values.get("design")):
        yield from _cell_mistakes(("baseline",), _mapping(values.get("baseline")), axes, meanings)
    exclusions = values.get("exclude") or []
    for index, exclusion in enumerate(exclusions if isinstance(exclusions, list) else []):
        yield from _cell_mistakes(
            ("exclude", index, "when"), _mapping(_mapping(exclusion).get("when")), axes, meanings
        )
    seeds = values.get("seeds")
    if isinstance(seeds, list) and all(map(_is_int, seeds)) and len(set(seeds)) != len(seeds):
        yield ("seeds",), f"must differ from one another, got {_shown(seeds)}"
    yield from design_mistakes(values.get("design", "full"), axes)
    yield from design_fit_mistakes(values)
    yield from range_mistakes(asked, values.get("design"))
    yield from tune_mistakes(values)
    yield from _select_by_mistakes(values)
    yield from task_mistakes(values)
    classes = _mapping(values.get("data")).get("classes")
    yield from (
        (("data", "classes", *place), text)
        for place, text in (() if classes is None else group_mistakes(classes))
    )
    yield from _whole_mistakes(values)


def _select_by_mistakes(values: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """What chooses must be a score of the task."""
    task = TASKS.get(str(values.get("task")), TASKS[USUAL_TASK])
    words = [f"val/{name}" for name in task.metric_names]
    chosen = values.get("select_by")
    if "select_by" in values and chosen not in words:
        listed = f"{', '.join(map(repr, words[:-1]))} or {words[-1]!r}"
        yield ("select_by",), f"must be {listed}, got {_shown(chosen)}{nearest(chosen, words)}"


def _whole_mistakes(values: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """The baseline's cell must be one that is trained, the sampler one for the space; asked only of a file that is right so far."""
    try:
        grid = Grid.model_validate(values)
        if grid.search is not None:
            scores = tuple(f"val/{name}" for name in task_of(grid.task).metric_names)
            yield from search_mistakes(values, grid.axes, scores)
            return
        cell = grid.baseline_cell
        recipe = Recipe.model_validate({**grid.base.model_dump(), **cell})
        levels = {axis: getattr(recipe, axis) for axis in cell}
        excluded = grid.rules.why_not(levels) or contradiction(recipe)
    except (ValidationError, AttributeError, KeyError, IndexError, TypeError):
        return
    if excluded:
        yield ("baseline",), f"must be a cell that is trained, but it is excluded: {excluded}"


def _cell_mistakes(
    place: Place,
    cell: dict[str, Any],
    axes: dict[str, list[Any]],
    meanings: Mapping[str, frozenset[Hashable]],
) -> Iterator[tuple[Place, str]]:
    """Axes and levels of `baseline`, or of an exclusion's `when`, that the grid does not have."""
    for axis, wanted in cell.items():
        if axis not in axes:
            yield (
                (*place, str(axis)),
                f"must be an axis of this grid ({', '.join(axes) or 'it has none'}), got {_shown(axis)}{nearest(axis, axes)}",
            )
            continue
        known = meanings[axis]
        in_a_list = place[-1] == "when" and isinstance(wanted, list)
        if in_a_list and not wanted:
            yield (*place, axis), "must be a level or a list of at least one, got []"
        for level in asked_levels(wanted) if in_a_list else [wanted]:
            if meaning(axis, level) not in known:
                words = _shown_levels(axes[axis])
                yield (
                    (*place, axis),
                    f"must be a level of axes.{axis} ({words}), got {_shown(level)}{nearest(level, map(str, axes[axis]))}",
                )


def _sentences(
    error: ValidationError, values: Any, *, root: type[BaseModel] = Grid
) -> Iterator[tuple[Place, str]]:
    """One sentence a place: the branches of a union (`all` or an int) are joined into one."""
    by_place: dict[Place, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # it counts what is right, and what is wrong has a mistake of its own
        by_place.setdefault(_real_place(detail, values), []).append(detail)
    for place, details in by_place.items():
        yield place, _sentence(place, details, root=root)


def _sentence(place: Place, details: list[ErrorDetails], *, root: type[BaseModel]) -> str:
    first = details[0]
    if first["type"] == "missing":
        return "must be given"
    if first["type"] == "extra_forbidden":
        return f"is not a field here{_NOT_HERE.get(str(place[-1])) or nearest(place[-1], _siblings(place, root=root))}"
    kinds = list(dict.fromkeys(_wanted(detail) for detail in details))
    wanted = " or ".join(kind for kind in kinds if _SAID_BY.get(kind) not in kinds)
    words = re.findall(r"'([^']*)'", wanted)
    hint = nearest(first["input"], words) or _way_out(wanted, first["input"])
    return f"must be {wanted}, got {_shown(first['input'])}{hint}"


_SAID_BY = {"an int": "a number", "a list": "a list of at least one"}
"""What must be -> what says it as well, where both stand in one sentence."""


def _way_out(wanted: str, value: Any) -> str:
    """How to write what was meant, where a number stands as text or text as something else."""
    if "number" in wanted or "an int" in wanted:
        return number_hint(value)
    if "text" in wanted and isinstance(value, int | float):
        return "; put it in quotes"
    return ""


def _wanted(detail: ErrorDetails) -> str:
    text = detail["msg"].partition(" or instance of ")[0]
    context = detail.get("ctx", {})
    if detail["type"] == "string_too_short":
        return "text that is not empty"
    if detail["type"] == "too_short":
        return (
            "a list of at least one"
            if detail["msg"].startswith("Tuple")
            else "a mapping of at least one"
        )
    if detail["type"] == "too_long":
        return f"a list of at most {context['max_length']:,}"
    for prefix in ("Input should be ", "Value error, ", "must be "):
        text = text.removeprefix(prefix)
    return (
        text.replace("a valid integer", "an int")
        .replace("a valid number", "a number")
        .replace("a valid string", "text")
        .replace("a valid dictionary", "a mapping")
        .replace("a valid tuple", "a list")
        .replace("a valid boolean", "true or false")
    )


def _siblings(place: Place, *, root: type[BaseModel]) -> list[str]:
    """Field names that are known where an unknown one stands, below `root`."""
    model: Any = root
    for part, following in itertools.pairwise(place):
        if isinstance(part, int):
            continue
        if part not in model.model_fields:
            return []
        field = model.model_fields[part].annotation
        inner = [
            one for one in (field, *getattr(field, "__args__", ())) if hasattr(one, "model_fields")
        ]
        if not inner:
            return []
        model = next((one for one in inner if following in one.model_fields), inner[0])
    return [name for name in model.model_fields if name not in ("name", "question")]


def _real_place(detail: ErrorDetails, values: Any) -> Place:
    """Pydantic's location without the names of union branches, which are not in the file."""
    place: list[int | str] = []
    loc, names_a_key = detail["loc"], detail["type"] in ("missing", "extra_forbidden")
    for index, part in enumerate(loc):
        if isinstance(values, dict) and (part in values or (names_a_key and index == len(loc) - 1)):
            place.append(part)
            values = values.get(part)
        elif isinstance(values, list | tuple) and isinstance(part, int) and part < len(values):
            place.append(part)
            values = values[part]
    return tuple(place)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown_levels(levels: list[Any]) -> str:
    """The levels of an axis in one line, of very many the first."""
    shown = ", ".join(_shown(level) for level in levels[:20])
    return shown if len(levels) <= 20 else f"{shown} and {len(levels) - 20} more"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _first_comment(text: str) -> str:
    """The first comment line that is prose, before anything else stands in the file: the question that the grid asks."""
    for line in text.removeprefix("\ufeff").splitlines():
        if line.strip() and not line.startswith(("#", "---", "%")):
            return ""
        words = line.lstrip("# ").strip() if line.startswith("#") else ""
        if words and not words.startswith("yaml-language-server"):
            return words
    return ""
