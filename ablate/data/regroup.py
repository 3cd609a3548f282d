"""Other classes than a source's own: each image gets the new class that takes its class.

Images keep their ids.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ablate.data.sources._base import Collection, targets_of
from ablate.errors import DataError, some
from ablate.in_order import absent
from ablate.study.class_groups import THE_REST, ClassGroups

_N_NAMED = 20


def regroup(
    collection: Collection, groups: ClassGroups, *, source: str
) -> tuple[Collection, ClassGroups]:
    """Return the collection with the new classes, and the groups with the rest spelled out.

    New classes come in their own order, the source's classes within them in the source's. Raises
    DataError where a group names a class that the source does not have, where a class is in no
    group, and where images have several labels.
    """
    # With several labels, two old classes of one image could fall into one new class.
    targets = targets_of(collection.items, n_classes=len(collection.class_names))
    if not targets.is_exclusive:
        raise DataError(
            "data.classes is for images with one label each; rename labels in labels.csv instead."
        )
    whole = _resolved(groups, collection.class_names, source)
    new_position = _positions(whole)
    # An image keeps its id, so predictions of both groupings can be compared image by image.
    items = []
    for item, old in zip(collection.items, targets.array.tolist(), strict=True):
        items.append(replace(item, label=new_position[collection.class_names[old]]))
    new_names = tuple(name for name, _ in whole)
    return replace(collection, class_names=new_names, items=tuple(items)), whole


def _positions(groups: ClassGroups) -> dict[str, int]:
    """Class of the source -> position of the new class that takes it."""
    positions = {}
    for position, (_, names) in enumerate(groups):
        for name in names:
            positions[name] = position
    return positions


def _resolved(groups: ClassGroups, class_names: Sequence[str], source: str) -> ClassGroups:
    """The groups with names in place of the rest.

    Raises DataError where they are not the classes of the source, each once.
    """
    new_of = {}
    for new, names in groups:
        for name in names:
            # a class in two groups was refused when the grid file was read
            if name != THE_REST:
                new_of[name] = new
    _check_names(new_of, class_names, source)
    # Spelled out, so that the record says what the rest was; another version may have more classes.
    rest = absent(class_names, among=new_of)
    takes_rest = _takes_rest(groups)
    _check_rest(rest, takes_rest, source)
    for name in rest:
        new_of[name] = str(takes_rest)
    whole = []
    for new, _ in groups:
        whole.append((new, _members(new, new_of, class_names)))
    return tuple(whole)


def _takes_rest(groups: ClassGroups) -> str | None:
    """The new class that takes what no other one names."""
    # The parser lets one group at most take the rest, alone in its list.
    for new, names in groups:
        if names == (THE_REST,):
            return new
    return None


def _check_rest(rest: Sequence[str], takes_rest: str | None, source: str) -> None:
    """A rest and a new class that takes it: both or neither. Raises DataError."""
    if takes_rest is None and rest:
        raise DataError(
            f"every class of source {source} must be in a list of data.classes, these are in "
            f"none: {some(rest, most=_N_NAMED)}; name them, or let one new class take all the "
            f'rest: ["{THE_REST}"].'
        )
    if takes_rest is not None and not rest:
        raise DataError(
            f'data.classes.{takes_rest} takes all the rest ("{THE_REST}"), but every class of '
            f"source {source} is named; leave it out."
        )


def _check_names(new_of: Mapping[str, str], class_names: Sequence[str], source: str) -> None:
    for name, new in new_of.items():
        if name not in class_names:
            near = difflib.get_close_matches(name, class_names, n=1, cutoff=0.0)
            hint = "."
            if near:
                hint = f"; did you mean {near[0]}?"
            known = some(class_names, most=_N_NAMED)
            raise DataError(
                f"data.classes.{new} must name classes of source {source} ({known}), "
                f"got {name!r}{hint}"
            )


def _members(new: str, new_of: Mapping[str, str], class_names: Sequence[str]) -> tuple[str, ...]:
    """The source's classes that a new class takes, in the source's order."""
    members = []
    for name in class_names:
        if new_of.get(name) == new:
            members.append(name)
    return tuple(members)
