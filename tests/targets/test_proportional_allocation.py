"""Images shared among classes in proportion to their sizes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ablate.targets.proportional_allocation import allocate


@given(counts=st.lists(st.integers(1, 50), min_size=1, max_size=9), data=st.data())
def test_allocate_gives_what_was_asked_in_proportion(
    counts: list[int], data: st.DataObject
) -> None:
    total = np.array(counts)
    n = data.draw(st.integers(0, int(total.sum())))
    deal = allocate(total, n, room=total)
    assert deal.sum() == n
    assert (deal <= total).all()
    assert (deal >= 0).all()
    if n >= len(counts):
        assert (deal >= 1).all()


def test_allocate_by_hand() -> None:
    counts = np.array([10, 24, 66])
    assert allocate(counts, 10, room=counts).tolist() == [1, 2, 7]
    assert allocate(counts, 3, room=counts).tolist() == [1, 1, 1]
    assert allocate(counts, 2, room=counts).tolist() == [0, 1, 1]
