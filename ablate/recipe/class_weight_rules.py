"""Weights that a recipe gives for the classes, beside the classes that the data have."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.errors import SpecError
from ablate.recipe.recipe import Recipe


def check_class_weights(recipe: Recipe, class_names: Sequence[str]) -> tuple[float, ...]:
    """Return the given weights in the order of the classes, empty where none are given.

    Raises SpecError where they do not fit the classes.
    """
    given = recipe.class_weights
    if isinstance(given, str):
        return ()
    by_name = {one[0]: one[1] for one in given if isinstance(one, tuple)}
    if by_name:
        strays = sorted(by_name.keys() - set(class_names))
        if strays:
            raise SpecError(
                f"class_weights must name classes of the data ({', '.join(class_names)}), "
                f"got {', '.join(strays)}"
            )
        return tuple(by_name.get(name, 1.0) for name in class_names)
    numbers = tuple(one for one in given if not isinstance(one, tuple))
    if len(numbers) != len(class_names):
        raise SpecError(
            f"class_weights must have a weight for each of the {len(class_names)} classes "
            f"({', '.join(class_names)}), got {len(numbers)}"
        )
    return numbers
