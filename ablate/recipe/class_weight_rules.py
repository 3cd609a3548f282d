"""Weights that a recipe gives for the classes, beside the classes that the data have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablate.errors import SpecError
from ablate.recipe.recipe import Recipe


def check_class_weights(recipe: Recipe, class_names: Sequence[str]) -> tuple[float, ...]:
    """Return the given weights in the order of the classes, empty where none are given.

    Raises SpecError where they do not fit the classes.
    """
    given = recipe.class_weights
    # A word names a rule over the counts of train, or none: it fits any classes.
    if isinstance(given, str):
        return ()
    # A mapping in the grid file came as pairs, because a recipe must be hashable.
    by_name: dict[str, float] = {}
    in_order: list[float] = []
    for weight in given:
        # a pair of class and weight, or a weight alone; a recipe never mixes the two
        if isinstance(weight, tuple):
            by_name[weight[0]] = weight[1]
        else:
            in_order.append(weight)
    if by_name:
        return _in_order_of(class_names, by_name)
    if len(in_order) != len(class_names):
        raise SpecError(
            f"class_weights must have a weight for each of the {len(class_names)} classes "
            f"({', '.join(class_names)}), got {len(in_order)}"
        )
    return tuple(in_order)


def _in_order_of(class_names: Sequence[str], by_name: Mapping[str, float]) -> tuple[float, ...]:
    """Weights by class in the order of the classes; 1 for a class that has none."""
    unknown = sorted(by_name.keys() - set(class_names))
    if unknown:
        raise SpecError(
            f"class_weights must name classes of the data ({', '.join(class_names)}), "
            f"got {', '.join(unknown)}"
        )
    # A mapping names the classes that matter; a list must have them all.
    return tuple(by_name.get(name, 1.0) for name in class_names)
