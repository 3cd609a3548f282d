"""What a grid of another task than classification cannot ask for, or has not yet: refused where it stands in the file, with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Found = tuple[tuple[str | int, ...], str]


@dataclass(frozen=True)
class _Only:
    """The values of a field that images with several labels allow."""

    allowed: tuple[Any, ...]
    why: str
    refused: tuple[Any, ...] | None = None
    """Set where all but these are allowed."""

    def allows(self, value: Any) -> bool:
        """Whether the field may have this value."""
        return value not in self.refused if self.refused is not None else value in self.allowed


ONLY: Mapping[str, _Only] = {
    "loss": _Only(("bce",), "each label is a yes or a no of its own"),
    "logit_adjustment": _Only((0,), "it shifts a softmax, and bce has none"),
    "sampler": _Only(
        ("shuffle",),
        "an image with several labels has no one class to be drawn by; class_weights weigh the labels",
    ),
    "shots": _Only(
        (None,),
        "an image with several labels counts for several classes; data.sizes draws a subset that keeps their shares",
    ),
    "classifier": _Only(("linear",), "a fitted classifier gives an image one class"),
    "class_weights": _Only(
        ("none", "balanced", "a list", "a mapping"),
        "effective numbers weigh classes, and here a yes is weighed beside a no",
        ("effective",),
    ),
}


def task_mistakes(values: Mapping[str, Any]) -> Iterator[Found]:
    """Fields and levels that do not go with the task of a file."""
    if values.get("task") != "multilabel":
        return
    data = values.get("data")
    if isinstance(data, dict) and data.get("classes") is not None:
        why = "a new class takes the images of several classes, each image of one, and here an image has several labels; rename labels in labels.csv instead"
        yield ("data", "classes"), f"must be null for task multilabel: {why}"
    if values.get("target_precision") is not None:
        yield (
            ("target_precision",),
            "must be null for task multilabel: it is for two classes that exclude each other, and here each label is a yes or a no",
        )
    for place, name, value in _values(values):
        rule = ONLY.get(name)
        if rule is not None and not rule.allows(value):
            wanted = " or ".join("null" if one is None else str(one) for one in rule.allowed)
            yield place, f"must be {wanted} for task multilabel, got {value!r}: {rule.why}"


def _values(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, Any]]:
    """Every place of the file where a field of the recipe has a value: base, levels of axes, of tuning, and of a search."""
    base = values.get("base")
    yield from (
        (("base", name), name, value)
        for name, value in (base.items() if isinstance(base, dict) else ())
    )
    for key in ("axes", "tune"):
        fields = values.get(key)
        for name, levels in fields.items() if isinstance(fields, dict) else ():
            place: tuple[str | int, ...] = (key, name)
            if isinstance(levels, dict):
                yield from (
                    ((*place, bound), name, levels[bound])
                    for bound in ("low", "high")
                    if bound in levels
                )
                place, levels = (*place, "levels"), levels.get("levels")
            yield from (
                ((*place, index), name, level)
                for index, level in enumerate(levels if isinstance(levels, list) else ())
            )
