"""Times as the screen shows them: hours, minutes and seconds, as a clock has them."""

from __future__ import annotations

from datetime import timedelta


def clock_span(seconds: float) -> str:
    """`0:07:10`, or `1 day, 2:03:04`."""
    # In whole seconds: a timedelta would print six decimals.
    return str(timedelta(seconds=round(seconds)))


def short_span(seconds: float) -> str:
    """`3.2 s`; under a second with two digits, down to milliseconds: `0.041 s`."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    # A probe on kept activations trains in hundredths of a second: one decimal would say "0.0 s".
    # Rounded first, as the shortest form of a microsecond would have an exponent.
    return f"{round(seconds, 3):.2g} s"


def about_left(seconds: float, *, is_rough: bool) -> str:
    """`about 0:07:10 left`; `roughly` where it may well be another time."""
    word = "about"
    if is_rough:
        word = "roughly"
    return f"{word} {clock_span(seconds)} left"
