"""Two versions of a report side by side: words of texts, values of records."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|[^\W\d]+|\S")
"""A number, a word or a sign."""
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
    if old == new:
        return
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    for what, start, end, other_start, other_end in matcher.get_opcodes():
        if what == "equal":
            continue
        n_lines = max(end - start, other_end - other_start)
        for offset in range(n_lines):
            line = old[start + offset] if start + offset < end else ""
            other = new[other_start + offset] if other_start + offset < other_end else ""
            yield from _word_differences(f"{name}:{start + offset + 1}", line, other)


def value_differences(place: str, reported: Any, computed: Any) -> Iterator[Finding]:
    """Compare JSON values; a place is named by its keys, e.g. `report.json arms.0.scores`."""
    if isinstance(reported, dict) and isinstance(computed, dict):
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
    if len(words) != len(others):
        yield Finding(place, _shortened(line), _shortened(other))
        return
    pairs = [pair for pair in zip(words, others, strict=True) if pair[0] != pair[1]]
    # Equal words and different lines: spaces differ, and the lines are shown whole.
    for word, wanted in pairs or [(_shortened(line), _shortened(other))]:
        yield Finding(place, word, wanted)


def _shortened(line: str) -> str:
    if len(line) > _LONGEST:
        return f"{line[: _LONGEST - 1]}…"
    return line or "nothing"
