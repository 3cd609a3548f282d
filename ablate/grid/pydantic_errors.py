"""Pydantic's errors in the words of a grid file: paths that are in the file, one sentence each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ablate.grid.grid_file import Grid
from ablate.grid.scalars import number_hint
from ablate.grid.wording import nearest, shown
from ablate.grid.yaml_lines import Problem, YamlPath

_WHY_NO_FIELD = {
    "pruner": ": pruners belong to a search; without the trials that a pruner ended early, "
    "estimated effects would be too good"
}
"""Field -> why there is none, where somebody may look for it."""
_IMPLIED_BY = {"an int": "a number", "a list": "a list of at least one"}
"""What must be -> what says the same, where both would stand in one sentence."""
# pydantic's own sentences, those of our validators, and those that say `must be` already.
_PREFIXES = ("Input should be ", "Value error, ", "must be ")
_WORDS = {
    "a valid integer": "an int",
    "a valid number": "a number",
    "a valid string": "text",
    "a valid dictionary": "a mapping",
    "a valid tuple": "a list",
    "a valid boolean": "true or false",
}
"""Pydantic's word -> that of a grid file."""


def problems_of(
    error: ValidationError, values: Any, *, root: type[BaseModel] = Grid
) -> Iterator[Problem]:
    """Yield one sentence per path: the branches of a union (`all` or an int) share one."""
    by_path: dict[YamlPath, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        # The input is not empty, so it was not too short as written:
        if detail["type"] == "too_short" and detail["input"]:
            continue  # only valid items are counted, and the invalid ones have their own mistakes
        by_path.setdefault(_file_path(detail, values), []).append(detail)
    for path, details in by_path.items():
        yield path, _sentence(path, details, root=root)


def _sentence(path: YamlPath, details: list[ErrorDetails], *, root: type[BaseModel]) -> str:
    first = details[0]
    if first["type"] == "missing":
        return "must be given"
    if first["type"] == "extra_forbidden":
        why = _WHY_NO_FIELD.get(str(path[-1]))
        return f"is not a field here{why or nearest(path[-1], _siblings(path, root=root))}"
    # Each once, in pydantic's order: a union has an error for each of its branches.
    kinds = dict.fromkeys(map(_wanted, details))
    needed = []
    for kind in kinds:
        if _IMPLIED_BY.get(kind) not in kinds:
            needed.append(kind)
    wanted = " or ".join(needed)
    # The words of a Literal, which pydantic lists in quotes.
    vocabulary = re.findall(r"'([^']*)'", wanted)
    hint = nearest(first["input"], vocabulary) or _spelling_hint(wanted, first["input"])
    return f"must be {wanted}, got {shown(first['input'])}{hint}"


def _spelling_hint(wanted: str, value: Any) -> str:
    """How to write what was meant, where a number is quoted, or text that reads as a number."""
    if "number" in wanted or "an int" in wanted:
        return number_hint(value)
    if "text" in wanted and isinstance(value, int | float):
        return "; put it in quotes"
    return ""


def _wanted(detail: ErrorDetails) -> str:
    """What must stand there, as it follows `must be`."""
    context = detail.get("ctx", {})
    if detail["type"] == "string_too_short":
        return "text that is not empty"
    if detail["type"] == "too_short":
        # Pydantic's detail does not say of what; its sentence begins with it.
        if detail["msg"].startswith("Tuple"):
            return "a list of at least one"
        return "a mapping of at least one"
    if detail["type"] == "too_long":
        return f"a list of at most {context['max_length']:,}"
    # "Input should be a valid dictionary or instance of DataSpec": no file can hold an instance.
    text = detail["msg"].partition(" or instance of ")[0]
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    for pydantic_word, word in _WORDS.items():
        text = text.replace(pydantic_word, word)
    return text


def _siblings(path: YamlPath, *, root: type[BaseModel]) -> list[str]:
    """The fields that `root` has at the level where an unknown field stands."""
    model: Any = root
    # Down the path from model to model; `following` is the key below `part`, and tells which branch
    # of a union was meant: the one that has such a field.
    for part, following in itertools.pairwise(path):
        if isinstance(part, int):
            continue
        # a mapping with keys of the user's own, such as axes: it has no fields to suggest
        if part not in model.model_fields:
            return []
        inner = _models_in(model.model_fields[part].annotation)
        if not inner:
            return []
        model = inner[0]
        for branch in inner:
            if following in branch.model_fields:
                model = branch
                break
    # Without those that `Grid` has and no file: its name, its question, `--set`.
    return [name for name, field in model.model_fields.items() if not field.exclude]


def _models_in(annotation: Any) -> list[Any]:
    """The models that a field's type is, or is a union or tuple of."""
    types = (annotation, *getattr(annotation, "__args__", ()))
    return [model for model in types if hasattr(model, "model_fields")]


def _file_path(detail: ErrorDetails, values: Any) -> YamlPath:
    """Pydantic's location without the names of union branches, which are not in the file."""
    path: list[int | str] = []
    names_a_key = detail["type"] in ("missing", "extra_forbidden")
    last = len(detail["loc"]) - 1
    # Step by step beside the file's values: what is neither a key nor an index of them is the name
    # of a union's branch, or "function-after" and the like.
    for index, part in enumerate(detail["loc"]):
        if isinstance(values, dict):
            # A missing key is not in the file, but its name is what the sentence is about.
            if part in values or (names_a_key and index == last):
                path.append(part)
                values = values.get(part)
        elif isinstance(values, list | tuple) and isinstance(part, int) and part < len(values):
            path.append(part)
            values = values[part]
    return tuple(path)
