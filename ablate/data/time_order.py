"""Splits in the order of time: the earliest images are train, the latest test.

What a camera sees drifts. A network that will judge tomorrow's images is scored on later images
than those that it learned from.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ablate.data.grouping import keys_of
from ablate.data.sources._base import Item
from ablate.errors import DataError, escaped
from ablate.study.image_rule import ImageRule, rule_in_words


def deal_in_time(items: Sequence[Item], shares: Sequence[float], rule: ImageRule) -> list[int]:
    """Return the part of each image: the first part has the earliest ones.

    Images of one time stay together, so a part ends at the change of time that is nearest to its
    share. Raises DataError where an image has no time, a time cannot be read, or there are fewer
    times than parts.
    """
    texts = keys_of(items, rule, field="split_by")
    moments = _moments(items, texts, rule)
    times, starts = np.unique(np.sort(moments), return_index=True)
    if len(times) < len(shares):
        raise DataError(
            f"data.split_by must find at least {len(shares)} different times, one for each side, "
            f"{rule_in_words(rule)} finds {len(times)}: '{escaped(texts[0])}', ...; name a finer "
            "time, or leave it out and draw the splits with data.split_seed."
        )
    ends = _ends(np.append(starts, len(items)), shares)
    # `ends` count the images of all parts up to each; those of one time have one place.
    places = starts[np.searchsorted(times, moments)]
    parts: list[int] = np.searchsorted(ends, places, side="right").tolist()
    return parts


def _ends(edges: NDArray[np.integer], shares: Sequence[float]) -> NDArray[np.integer]:
    """The images up to the end of each part but the last; `edges` are where a time begins."""
    wanted = np.cumsum(shares)[:-1] * edges[-1]
    ends = []
    first = 1  # no part is empty: each takes one time at least, and leaves one to those behind it
    for number, images in enumerate(wanted):
        last = len(edges) - 1 - (len(wanted) - number)
        free = edges[first : last + 1]
        nearest = first + int(np.abs(free - images).argmin())
        ends.append(edges[nearest])
        first = nearest + 1
    return np.array(ends)


def _moments(items: Sequence[Item], texts: Sequence[str], rule: ImageRule) -> NDArray[np.float64]:
    """Numbers in the order of time. Raises DataError for what is no number and no ISO date.

    All of one kind: 20240105 beside 2024-01-05 would be a number beside seconds.
    """
    as_numbers = [_number(text) for text in texts]
    as_dates = [_date(text) for text in texts]
    found = as_dates
    if as_numbers.count(None) <= as_dates.count(None):
        found = as_numbers
    moments: list[float] = []
    for item, text, moment in zip(items, texts, found, strict=True):
        if moment is None:
            raise DataError(
                "times of data.split_by must all be ISO dates, as 2024-01-31 or "
                f"2024-01-31T08:30, or all be numbers, {rule_in_words(rule)} gives "
                f"'{escaped(text)}' for {escaped(item.image_id)}; write them in one of these ways."
            )
        moments.append(moment)
    return np.array(moments)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _date(text: str) -> float | None:
    """Seconds; a time without a zone counts as UTC, so that no machine's zone matters."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()
