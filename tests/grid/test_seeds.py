from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.errors import SpecError
from ablate.grid.seeds import MAX_SEED, read_seeds, seeds_text


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("5", (5,)),
        ("0,1,2", (0, 1, 2)),
        ("0-3,7", (0, 1, 2, 3, 7)),
        ("7 0-2", (7, 0, 1, 2)),
        ("4-4", (4,)),
    ],
)
def test_what_is_read(text: str, seeds: tuple[int, ...]) -> None:
    assert read_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "x", "1, x", "3-1", "1-", "-1", "0-2-4", "0,0-2", "٣", "1-²"])
def test_what_is_no_list_of_seeds(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_seeds(text)
    assert str(caught.value) == (
        "--seeds must be different whole numbers with commas between them, e.g. 0,1,2 or 0-7, "
        f"got {text!r}"
    )


def test_too_many_and_too_large() -> None:
    with pytest.raises(SpecError) as many:
        read_seeds("0-10000000000000000")
    assert str(many.value) == "--seeds must be at most 10,000 numbers, got more"
    with pytest.raises(SpecError) as large:
        read_seeds("10000000000000000000")
    assert str(large.value) == (
        "--seeds must be numbers from 0 to 10^18, got 10000000000000000000; take a smaller one"
    )


@given(st.lists(st.integers(0, MAX_SEED), min_size=1, max_size=30, unique=True))
def test_what_is_written_is_read_back(seeds: list[int]) -> None:
    assert read_seeds(seeds_text(seeds)) == tuple(seeds)


@pytest.mark.parametrize(
    ("seeds", "text"),
    [((0, 1, 2, 3, 7), "0-3,7"), ((3, 4), "3,4"), ((0, 3, 1, 2, 5), "0,3,1,2,5")],
)
def test_runs_of_three_are_ranges(seeds: tuple[int, ...], text: str) -> None:
    assert seeds_text(seeds) == text
