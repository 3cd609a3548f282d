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

from ablate.data.dealing import Parts, in_parts
from ablate.data.grouping import keys_of
from ablate.data.sources._base import Item
from ablate.data.split_shares import fractions_of, shares_in_words
from ablate.errors import DataError, escaped
from ablate.study.image_rule import ImageRule, rule_in_words
from ablate.study.trial import SPLITS, DataSpec


def split_in_time(
    items: Sequence[Item], spec: DataSpec, given: set[str | None]
) -> tuple[Parts, str]:
    """Cut the images in the order of `split_by`; return the splits and the rule in words.

    `given` are the splits that the source gives. Raises DataError beside other ways to split, and
    for what `deal_in_time` refuses.
    """
    assert spec.split_by is not None
    _check_alone(spec, given)
    # No seed is asked for: nothing is drawn where time decides.
    fractions = fractions_of(spec, "data.split_by cuts by them")
    shares = [fractions.train, fractions.val, fractions.test]
    part_of = deal_in_time(items, shares, spec.split_by)
    parts = in_parts(items, part_of, n_parts=len(SPLITS))
    rule_words = rule_in_words(spec.split_by)
    rule = f"in the order of {rule_words}, not stratified, {shares_in_words(shares)}"
    return dict(zip(SPLITS, parts, strict=True)), rule


def _check_alone(spec: DataSpec, given: set[str | None]) -> None:
    """Check that nothing else splits the images as well. Raises DataError."""
    if spec.group_by is not None:
        raise DataError(
            "data.split_by and data.group_by cannot both be set: a group that was photographed "
            "over months would stand on two sides, or break the order of time; leave one out."
        )
    if given != {None}:
        raise DataError(
            "data.split_by draws all splits, source "
            f"{spec.source} gives some already ({', '.join(sorted(map(str, given)))}); leave "
            "split_by out, or give the images without splits."
        )


def deal_in_time(items: Sequence[Item], shares: Sequence[float], rule: ImageRule) -> list[int]:
    """Return the part of each image: the first part has the earliest ones.

    Images of one time stay together, so a part ends at the change of time that is nearest to its
    share. Raises DataError where an image has no time, a time cannot be read, or there are fewer
    times than parts.
    """
    texts = keys_of(items, rule, field="split_by")
    moments = _moments(items, texts, rule)
    # the distinct times in order, and how many images are earlier than each
    times, starts = np.unique(np.sort(moments), return_index=True)
    if len(times) < len(shares):
        raise DataError(
            f"data.split_by must find at least {len(shares)} different times, one for each side, "
            f"{rule_in_words(rule)} finds {len(times)}: '{escaped(texts[0])}', ...; name a finer "
            "time, or leave it out and draw the splits with data.split_seed."
        )
    # The number of all images closes the edges: the last part ends there.
    ends = _ends(np.append(starts, len(items)), shares)
    # `ends` count the images of all parts up to each; those of one time have one place.
    places = starts[np.searchsorted(times, moments)]
    parts: list[int] = np.searchsorted(ends, places, side="right").tolist()
    return parts


def _ends(edges: NDArray[np.integer], shares: Sequence[float]) -> NDArray[np.integer]:
    """The images up to the end of each part but the last; `edges` are where a time begins."""
    # Where each part would end by its share, counted in images; the last end is given.
    wanted = np.cumsum(shares)[:-1] * edges[-1]
    ends = []
    # No part is empty: each takes one time at least, and leaves one to those behind it.
    first = 1
    for number, images in enumerate(wanted):
        last = len(edges) - 1 - (len(wanted) - number)
        free = edges[first : last + 1]
        # argmin takes the earlier of two edges that are equally near
        nearest = first + int(np.abs(free - images).argmin())
        ends.append(edges[nearest])
        first = nearest + 1
    return np.array(ends)


def _moments(items: Sequence[Item], texts: Sequence[str], rule: ImageRule) -> NDArray[np.float64]:
    """Numbers in the order of time. Raises DataError for what is no number and no ISO date.

    All of one kind: 20240105 beside 2024-01-05 would be a number beside seconds.
    """
    as_numbers = list(map(_number, texts))
    as_dates = list(map(_date, texts))
    # What fewer texts fail to be is what was meant; the error then names the first that is not.
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
    # nan and inf are numbers to float(), and no points in time
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
