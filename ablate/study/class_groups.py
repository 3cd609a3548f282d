"""Regrouped classes: new class -> the classes of the source that it takes. Kept as pairs, which can be hashed and have an order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

THE_REST = "*"
"""Alone in a list: every class of the source that no list names."""
Found = tuple[tuple[str | int, ...], str]
"""Where below the field, and what is wrong there."""


def group_mistakes(groups: Any) -> Iterator[Found]:
    """What is wrong with a mapping of new classes, without a look at the data."""
    if not isinstance(groups, dict):
        yield (
            (),
            f"must be a mapping of new class to a list of classes of the source, got {_shown(groups)}",
        )
        return
    if len(groups) < 2:
        yield (), f"must have at least two new classes, got {_shown(groups)}"
    taken_by: dict[str, str] = {}
    for new, names in groups.items():
        if not isinstance(new, str) or not new:
            yield (str(new),), _no_text(new)
        if not isinstance(names, list | tuple) or not names:
            yield (
                (str(new),),
                f"must be a list of at least one class of the source, got {_shown(names)}",
            )
            continue
        yield from _name_mistakes(str(new), names, taken_by)


def _name_mistakes(new: str, names: Sequence[Any], taken_by: dict[str, str]) -> Iterator[Found]:
    """The classes of one list, beside those of the lists before it."""
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name:
            yield (new, index), _no_text(name)
        elif name == THE_REST and len(names) > 1:
            yield (
                (new, index),
                f"must stand alone in its list, got {_shown(names)}; '*' takes every class that no list names",
            )
        elif name in taken_by:
            what = (
                "may stand for one new class alone"
                if name == THE_REST
                else "must be in one list, once"
            )
            yield (new, index), f"{what}, got {name!r}, which {taken_by[name]} has already"
        else:
            taken_by[name] = new


def _no_text(value: Any) -> str:
    return (
        "must be text that is not empty, got ''"
        if value == ""
        else f"must be text, got {_shown(value)}; put it in quotes"
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _as_pairs(value: Any) -> Any:
    """A mapping, or pairs as JSON keeps them, as pairs of tuples. Raises ValueError with the first mistake."""
    groups = (
        dict(value)
        if isinstance(value, list | tuple)
        and all(isinstance(one, list | tuple) and len(one) == 2 for one in value)
        else value
    )
    for place, text in group_mistakes(groups):
        raise ValueError(f"{': '.join([*map(str, place), text])}")
    return tuple((new, tuple(names)) for new, names in groups.items())


ClassGroups = Annotated[
    tuple[tuple[str, tuple[str, ...]], ...],
    BeforeValidator(_as_pairs),
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
