"""Regrouped classes: new class -> the classes of the source that it takes.

Kept as pairs, which can be hashed and have an order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

THE_REST = "*"
"""Alone in a list: every class of the source that no list names."""
GroupMistake = tuple[tuple[str | int, ...], str]
"""The place below the field, and what is wrong there."""


def group_mistakes(groups: Any) -> Iterator[GroupMistake]:
    """What is wrong with a mapping of new classes, without a look at the data."""
    if not isinstance(groups, dict):
        kind = "a mapping of new class to a list of classes of the source"
        yield (), f"must be {kind}, got {_shown(groups)}"
        return
    if len(groups) < 2:
        yield (), f"must have at least two new classes, got {_shown(groups)}"
    # Filled list by list, so that a class that stands twice is reported at its second place.
    taken_by: dict[str, str] = {}
    for new, names in groups.items():
        if not isinstance(new, str) or not new:
            # Goes on with the list all the same: a grid file is told every mistake at once.
            yield (str(new),), _no_text(new)
        if not isinstance(names, list | tuple) or not names:
            kind = "a list of at least one class of the source"
            yield (str(new),), f"must be {kind}, got {_shown(names)}"
            continue
        yield from _name_mistakes(str(new), names, taken_by)


def _name_mistakes(
    new: str, names: Sequence[Any], taken_by: dict[str, str]
) -> Iterator[GroupMistake]:
    """The classes of one list, beside those of the lists before it."""
    for index, name in enumerate(names):
        place = (new, index)
        if not isinstance(name, str) or not name:
            yield place, _no_text(name)
        # "*" beside names would be their rest, and then say nothing that the names do not.
        elif name == THE_REST and len(names) > 1:
            rule = f"must stand alone in its list, got {_shown(names)}"
            yield place, f"{rule}; '*' takes every class that no list names"
        elif name in taken_by:
            rule = "must be in one list, once"
            if name == THE_REST:
                rule = "may stand for one new class alone"
            yield place, f"{rule}, got {name!r}, which {taken_by[name]} has already"
        else:
            taken_by[name] = new


def _no_text(value: Any) -> str:
    if value == "":
        return "must be text that is not empty, got ''"
    # YAML reads `no`, `1` and `1e3` as a boolean and numbers: what was meant as a name
    return f"must be text, got {_shown(value)}; put it in quotes"


def _shown(value: Any) -> str:
    text = repr(value)
    if len(text) <= 80:
        return text
    return text[:77] + "..."


def _as_pairs(value: Any) -> Any:
    """A mapping, or pairs as JSON keeps them, as pairs of tuples.

    Raises ValueError with the first mistake.
    """
    groups = value
    if _are_pairs(value):
        groups = dict(value)
    # In a model the first mistake is enough; grid files are checked for all of them before.
    for place, text in group_mistakes(groups):
        raise ValueError(": ".join([*map(str, place), text]))
    return tuple((new, tuple(names)) for new, names in groups.items())


def _are_pairs(value: Any) -> bool:
    if not isinstance(value, list | tuple):
        return False
    return all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value)


ClassGroups = Annotated[
    tuple[tuple[str, tuple[str, ...]], ...],
    BeforeValidator(_as_pairs),
    # What a grid file may hold. The field keeps pairs of it, for which pydantic would write arrays.
    WithJsonSchema(
        {
            "type": "object",
            "minProperties": 2,
            "additionalProperties": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": "string", "minLength": 1},
            },
        }
    ),
]
