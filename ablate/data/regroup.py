"""Other classes than a source's own: each image gets the new class that takes its class. Images keep their ids."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ablate.data.sources._base import Collection, has_several_labels, label_array
from ablate.errors import DataError, some
from ablate.study.class_groups import THE_REST, ClassGroups

_N_NAMED = 20


def regroup(
    collection: Collection, groups: ClassGroups, *, source: str
) -> tuple[Collection, ClassGroups]:
    """Return the collection with the new classes, in their order, and the groups with every class of the source by its name, in the source's order.

    Raises DataError where a group names a class that the source does not have, where a class is in no group, and where images have several labels.
    """
    if has_several_labels(collection.items):
        raise DataError(
            "data.classes is for images with one label each; rename labels in labels.csv instead."
        )
    whole = _resolved(groups, collection.class_names, source)
    taker = {name: position for position, (_, names) in enumerate(whole) for name in names}
    position = [taker[name] for name in collection.class_names]
    labels = label_array(collection.items, n_classes=len(position)).tolist()
    items = tuple(
        replace(item, label=position[label])
        for item, label in zip(collection.items, labels, strict=True)
    )
    return replace(collection, class_names=tuple(new for new, _ in whole), items=items), whole


def _resolved(groups: ClassGroups, class_names: Sequence[str], source: str) -> ClassGroups:
    """The groups with names in place of the rest. Raises DataError where they are not the classes of the source, each once."""
    taker = {name: new for new, names in groups for name in names if name != THE_REST}
    for name, new in taker.items():
        if name not in class_names:
            near = difflib.get_close_matches(name, class_names, n=1, cutoff=0.0)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise DataError(
                f"data.classes.{new} must name classes of source {source} ({some(class_names, most=_N_NAMED)}), got {name!r}{hint}"
            )
    rest = [name for name in class_names if name not in taker]
    takes_rest = next((new for new, names in groups if names == (THE_REST,)), None)
    if takes_rest is None and rest:
        raise DataError(
            f"every class of source {source} must be in a list of data.classes, these are in none: {some(rest, most=_N_NAMED)}; "
            f'name them, or let one new class take all the rest: ["{THE_REST}"].'
        )
    if takes_rest is not None and not rest:
        raise DataError(
            f'data.classes.{takes_rest} takes all the rest ("{THE_REST}"), but every class of source {source} is named; leave it out.'
        )
    return tuple(
        (new, _members(new, taker, rest if new == takes_rest else (), class_names))
        for new, _ in groups
    )


def _members(
    new: str, taker: Mapping[str, str], rest: Sequence[str], class_names: Sequence[str]
) -> tuple[str, ...]:
    return tuple(name for name in class_names if taker.get(name) == new or name in rest)
