"""Parts of file names that may tell groups: `part12` of `part12_shot3.jpg`.

Each candidate is a regular expression that finds its part in every path.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

_TOKEN = re.compile(r"[0-9]+|[^\W\d_]+|.", re.DOTALL)
# Of one name pattern: few other names can be covered by an expression that a reader understands.
_SHARE_OF_PATTERN = 0.6
_MOST_TOKENS = 24
_FEWEST_DIGITS = 3
_SPARSE = 0.34
"""Distinct values / their range, in steps of their common divisor: ids are drawn from a larger
range than there are, counters fill theirs."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule for `data.group_by`, before it was tried on the images."""

    rule: str
    kind: str
    """`id`: a number that is drawn from a large range; `prefix`: how names begin; `field`."""


def name_candidates(paths: Sequence[str]) -> list[Candidate]:
    """Expressions for parts of file names, the most telling first."""
    pattern = _common_pattern(paths)
    candidates = []
    if pattern is not None:
        candidates += pattern.candidates()
    # Where names have several patterns: all up to the first or the last separator.
    candidates.append(Candidate(r"(?:^|/)([^/_-]+)[_-][^/]*$", "prefix"))
    candidates.append(Candidate(r"(?:^|/)([^/]+)[_-][^/_-]+$", "prefix"))
    order = {"id": 0, "prefix": 1, "field": 2}
    return sorted(candidates, key=lambda candidate: order[candidate.kind])


@dataclass(frozen=True, slots=True)
class _Pattern:
    """What most file names have in common: `part`, digits, `_shot`, digits."""

    tokens: tuple[str, ...]
    """Of each position an expression."""
    values: tuple[tuple[str, ...], ...]
    """Of each position what stands there, in the order of the images."""
    is_whole: bool
    """Whether all names have it."""

    def candidates(self) -> list[Candidate]:
        """Each field that varies, and each beginning of the names, as an expression."""
        varying = [i for i, values in enumerate(self.values) if len(set(values)) > 1]
        found = []
        # The last field that varies tells every image apart, or starts again in each group.
        for last in varying[:-1]:
            found.append(Candidate(self._beginning(last), "prefix"))
        if not self.is_whole:
            return found
        for i in varying:
            kind = "id" if _is_sparse(self.values[i]) else "field"
            found.append(Candidate(self._field(i), kind))
        return found

    def _beginning(self, last: int) -> str:
        captured = "".join(self.tokens[: last + 1])
        after = "".join(self.tokens[last + 1 :])
        if self.is_whole:
            return rf"(?:^|/)({captured}){after}\.[^/.]+$"
        # Files of other names are groups of their own.
        return rf"(?:^|/)(?P<group>{captured}(?={after}\.[^/.]+$)|[^/]+$)"

    def _field(self, i: int) -> str:
        """One token captured, and the word before it: `part12` reads better than `12`."""
        start = i
        if i > 0 and self.tokens[i] == "[0-9]+" and self.tokens[i - 1].isalpha():
            start = i - 1
        before = "".join(self.tokens[:start])
        captured = "".join(self.tokens[start : i + 1])
        after = "".join(self.tokens[i + 1 :])
        return rf"(?:^|/){before}({captured}){after}\.[^/.]+$"


def _common_pattern(paths: Sequence[str]) -> _Pattern | None:
    rows_of_shape: defaultdict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for path in paths:
        row = _TOKEN.findall(PurePosixPath(path).stem)
        rows_of_shape[tuple(map(_shape, row))].append(row)
    if not rows_of_shape:
        return None
    shape = max(rows_of_shape, key=lambda shape: len(rows_of_shape[shape]))
    alike = rows_of_shape[shape]
    if len(alike) < _SHARE_OF_PATTERN * len(paths) or len(shape) > _MOST_TOKENS:
        return None
    # One tuple a field, over all names.
    values = tuple(zip(*alike, strict=True))
    tokens = tuple(map(_token, shape, values))
    return _Pattern(tokens, values, len(alike) == len(paths))


def _shape(token: str) -> str:
    if token.isdecimal():
        return "0"
    return "a" if token.isalpha() else token


def _token(shape: str, values: Sequence[str]) -> str:
    """An expression for what stands at one position of all names."""
    if shape == "0":
        return "[0-9]+"
    if len(set(values)) == 1:
        return re.escape(values[0]) if not values[0].isalnum() else values[0]
    return r"[^\W\d_]+"


def _is_sparse(values: Sequence[str]) -> bool:
    """Whether numbers are ids: of three digits or more, and far from filling their range."""
    if not values[0].isdecimal() or max(map(len, values)) < _FEWEST_DIGITS:
        return False
    numbers = sorted(set(map(int, values)))
    if len(numbers) < 2:
        return False
    steps = [later - earlier for earlier, later in pairwise(numbers)]
    # Places of tiles, 0 512 1024, fill their range in steps of 512.
    step = _common_divisor(steps)
    n_places = (numbers[-1] - numbers[0]) // step + 1
    return len(numbers) / n_places < _SPARSE


def _common_divisor(numbers: Sequence[int]) -> int:
    divisor = 0
    for number in numbers:
        while number:
            divisor, number = number, divisor % number
    return max(1, divisor)


def simpler(rule: str) -> Iterator[str]:
    """Shorter expressions that may find the same, the shortest first.

    `(part[0-9]+)_` for `(?:^|/)(part[0-9]+)_shot[0-9]+\\.[^/.]+$`.
    """
    match = re.fullmatch(r"\(\?:\^\|/\)([^()]*)(\([^()?]+\))(.*)\\\.\[\^/\.\]\+\$", rule)
    if match is None:
        return
    before, captured, after = match.groups()
    # One token on each side is what a reader sees the group by.
    following = re.match(r"\\?[^A-Za-z0-9\[\]\\]", after)
    end = r"\."
    if after and following is not None:
        end = following[0]
    if not before:
        yield f"{captured}{end}"
        yield f"(?:^|/){captured}{end}"
        return
    preceding = re.search(r"(?:[A-Za-z]+)?(?:\\.|[^\w\]+])?_?$", before)
    start = preceding[0] if preceding else ""
    yield f"{start}{captured}{end}"
    yield f"(?:^|/){before}{captured}{end}"
