"""Times as the screen shows them: hours, minutes and seconds, as a clock has them."""

from __future__ import annotations

from datetime import timedelta


def clock_span(seconds: float) -> str:
    """`0:07:10`, or `1 day, 2:03:04`."""
    # In whole seconds: a timedelta would print six decimals.
    return str(timedelta(seconds=round(seconds)))


def about_left(seconds: float, *, is_rough: bool) -> str:
    """`about 0:07:10 left`; `roughly` where it may well be another time."""
    word = "about"
    if is_rough:
        word = "roughly"
    return f"{word} {clock_span(seconds)} left"
