from __future__ import annotations

from ablate.in_order import absent, places, present


def test_places_are_counted_in_the_order_of_the_items() -> None:
    assert places("abc") == {"a": 0, "b": 1, "c": 2}
    assert places("abc", first=1) == {"a": 1, "b": 2, "c": 3}
    assert places("aba") == {"a": 2, "b": 1}


def test_what_is_there_and_what_is_not_keep_their_order() -> None:
    items = ["b", "c", "a", "b"]
    assert present(items, among={"a", "b"}) == ["b", "a", "b"]
    assert absent(items, among={"a", "b"}) == ["c"]
    assert present(items, among=()) == absent([], among=items) == []
