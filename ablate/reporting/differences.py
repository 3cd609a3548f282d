"""Two versions of a report side by side: words of texts, values of records."""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|[^\W\d]+|\S")
"""A number, a word or a sign."""
# pictures in `report.html`: megabytes of base64 that no reader can compare by eye
_INLINED = re.compile(r'src="data:image/svg\+xml;base64,[^"]*"')
_LONGEST = 120
"""Characters of a line that are shown."""


@dataclass(frozen=True)
class Finding:
    """One place where the report and its source disagree."""

    place: str
    """`cards/champion.md:34`, or `run 0a1b...`."""
    reported: str
    """What stands there."""
    computed: str
    """What the store gives."""

    def __str__(self) -> str:
        return f"{self.place}: says {self.reported}, the store gives {self.computed}"


def text_differences(name: str, reported: str, computed: str) -> Iterator[Finding]:
    """Compare word by word, without pictures; lines that were added or lost are named whole."""
    old = _INLINED.sub('src=""', reported).splitlines()
    new = _INLINED.sub('src=""', computed).splitlines()
    # nearly always, and far faster than the matcher
    if old == new:
        return
    # autojunk would take lines that repeat, such as empty ones, for noise in a text of 200 lines
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    for what, start, end, other_start, other_end in matcher.get_opcodes():
        if what == "equal":
            continue
        changed = itertools.zip_longest(old[start:end], new[other_start:other_end], fillvalue="")
        # lines are counted from 1, as editors do, in the text as it was reported
        for number, (line, other) in enumerate(changed, start + 1):
            yield from _word_differences(f"{name}:{number}", line, other)


def value_differences(place: str, reported: Any, computed: Any) -> Iterator[Finding]:
    """Compare JSON values; a place is named by its keys, e.g. `report.json arms.0.scores`."""
    if isinstance(reported, dict) and isinstance(computed, dict):
        # keys of both, in order; a missing one is compared as null
        for key in dict.fromkeys([*reported, *computed]):
            yield from value_differences(_below(place, key), reported.get(key), computed.get(key))
    elif isinstance(reported, list) and isinstance(computed, list):
        if len(reported) != len(computed):
            yield Finding(place, f"{len(reported)} entries", f"{len(computed)}")
            return
        for number, (value, other) in enumerate(zip(reported, computed, strict=True)):
            yield from value_differences(_below(place, number), value, other)
    elif not _is_equal(reported, computed):
        yield Finding(place, _shortened(json.dumps(reported)), _shortened(json.dumps(computed)))


def _below(place: str, key: object) -> str:
    # The first key is set off from the file's name, which has a dot of its own.
    separator = "." if " " in place else " "
    return f"{place}{separator}{key}"


def _is_equal(value: object, other: object) -> bool:
    if isinstance(value, float) and isinstance(other, float):
        # Sums over pairs and resamples may be taken in another order by another NumPy.
        return abs(value - other) <= 1e-9 * max(1.0, abs(value), abs(other))
    return value == other


def _word_differences(place: str, line: str, other: str) -> Iterator[Finding]:
    words = _TOKEN.findall(line)
    others = _TOKEN.findall(other)
    # words were added or lost: word by word everything behind them would differ
    if len(words) != len(others):
        yield Finding(place, _shortened(line), _shortened(other))
        return
    if words == others:
        # equal words in different lines: spaces differ, and the lines are shown whole
        yield Finding(place, _shortened(line), _shortened(other))
    for word, wanted in zip(words, others, strict=True):
        if word != wanted:
            yield Finding(place, word, wanted)


def _shortened(line: str) -> str:
    if len(line) > _LONGEST:
        return f"{line[: _LONGEST - 1]}…"
    return line or "nothing"
