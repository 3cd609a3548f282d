from __future__ import annotations

import pytest

from ablate.console.durations import short_span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.000_012, "0 s"),
        (0.0041, "0.004 s"),
        (0.0412, "0.041 s"),
        (0.4, "0.4 s"),
        (0.4123, "0.41 s"),
        (1.0, "1.0 s"),
        (83.25, "83.2 s"),
    ],
)
def test_a_short_time_keeps_two_digits_and_never_reads_as_none(seconds: float, text: str) -> None:
    assert short_span(seconds) == text
