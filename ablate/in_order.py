"""Where things stand in an order, and which of them are in a set, in that order."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


def places(items: Iterable[Item], *, first: int = 0) -> dict[Item, int]:
    """Item -> its place, counted from `first`; of an item that comes twice, the last place."""
    of_item = {}
    for place, item in enumerate(items, start=first):
        of_item[item] = place
    return of_item


def present(items: Iterable[Item], *, among: Container[Item]) -> list[Item]:
    """The items that are in `among`, in their own order: a set of them would have none."""
    return [item for item in items if item in among]


def absent(items: Iterable[Item], *, among: Container[Item]) -> list[Item]:
    """The items that are not in `among`, in their own order."""
    return [item for item in items if item not in among]
