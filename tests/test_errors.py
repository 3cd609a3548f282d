from __future__ import annotations

from ablate.errors import some


def test_some_of_a_list_are_named_and_the_others_counted() -> None:
    assert some(list("abcdefgh"), most=5) == "a, b, c, d, e and 3 more"
    assert some(list("abc"), most=3) == "a, b, c"
    assert some([], most=3) == ""
