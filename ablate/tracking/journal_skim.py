"""A journal without its scores and facts: enough to say how a study stands, at a tenth of the cost.

Only of a journal in which every line is as it was written. What is damaged is for `journal_lines`,
which keeps all that it needs to judge it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from ablate.checksum import unsealed
from ablate.schema_version import SCHEMA_VERSION
from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialStarted, TrialState
from ablate.tracking.journal_lines import AttemptKey, Reading, decode, is_torn

# Most lines of a journal are epochs, most of its bytes are outcomes: neither is parsed as JSON. The
# patterns are `journal_lines.encode`'s very text; anything else takes the slow way.
_ATTEMPT = rb'"trial_id":"([0-9a-f]+)","attempt":(\d+)'
_NUMBER = rb"-?[0-9][0-9.eE+-]*|-?Infinity|NaN"
_METRICS = rb'\{(?:"[^"\\]*":(?:%s),?)*\}' % _NUMBER
# Only this version's lines: of others the slow way says what is wrong.
_TAIL = rb',"n":(\d+),"v":%d,"crc":"[0-9a-f]{8}"\}' % SCHEMA_VERSION
_EPOCH = re.compile(
    rb'\{"event":"epoch_ended",%s,"epoch":(\d+),"n_epochs":(\d+),"metrics":%s,"at":([0-9.]+)%s'
    % (_ATTEMPT, _METRICS, _TAIL)
)
_START = re.compile(
    rb'\{"event":"trial_started",%s,"slot":"([\w:.-]+)","at":([0-9.]+)%s' % (_ATTEMPT, _TAIL)
)
_COMPLETE = re.compile(
    rb'\{"event":"trial_ended",%s,"state":"COMPLETE","at":([0-9.]+),"outcome":\{' % _ATTEMPT
)
_COMPLETE_END = re.compile(rb'\},"failure":null%s' % _TAIL)
# Of `_COMPLETE_END`, from above: a place in an attempt has at most 16 digits.
_LONGEST_END = 80
# One for all epochs: a study has hundreds of thousands.
_NO_METRICS: dict[str, float] = {}


class _Skimmed(NamedTuple):
    """An event without its scores, and its place among those of its attempt."""

    event: Event
    place: int


def skim_lines(lines: Iterable[bytes]) -> Reading | None:
    """Read the lines of a journal, newlines included; None where one is not as it was written.

    Epochs have no metrics, ends no outcome. Raises NewerLine, for fewer reasons than `read_lines`:
    what an outcome holds is not looked at.
    """
    skim = _Skim()
    for raw in lines:
        if not raw.endswith(b"\n"):
            return skim.reading() if is_torn(raw) else None
        if not skim.take(raw):
            return None
    return skim.reading()


class _Skim:
    """Goes once through the lines."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._n_lines: dict[AttemptKey, int] = {}
        # Each text of an id or a slot once in memory, however many lines name it.
        self._ids: dict[str, str] = {}

    def take(self, raw: bytes) -> bool:
        """Whether the line is as it was written, and where it was written."""
        skimmed = self._skimmed(raw)
        if skimmed is None:
            return False
        event, place = skimmed
        key = (event.trial_id, event.attempt)
        if place != self._n_lines.get(key, 0):
            return False
        self._n_lines[key] = place + 1
        self._events.append(event)
        return True

    def reading(self) -> Reading:
        """What was taken."""
        return Reading(self._events, self._n_lines)

    def _skimmed(self, raw: bytes) -> _Skimmed | None:
        text = raw[:-1]
        epoch = _EPOCH.fullmatch(text)
        if epoch is not None and unsealed(text) is not None:
            return self._epoch(epoch)
        start = _START.fullmatch(text)
        if start is not None and unsealed(text) is not None:
            return self._start(start)
        # An outcome in between is long and of any form: only its two ends are looked at.
        begin = _COMPLETE.match(text)
        end = _COMPLETE_END.search(text, max(0, len(text) - _LONGEST_END))
        if begin is None or end is None or end.end() != len(text) or unsealed(text) is None:
            # Also a line of the forms above whose checksum is wrong: it is refused there.
            return self._any(raw)
        return self._complete(begin, end)

    def _start(self, match: re.Match[bytes]) -> _Skimmed:
        trial_id, attempt, slot, at, place = match.groups()
        event = TrialStarted(self._id(trial_id), int(attempt), slot=self._id(slot), at=float(at))
        return _Skimmed(event, int(place))

    def _epoch(self, match: re.Match[bytes]) -> _Skimmed:
        trial_id, attempt, epoch, n_epochs, at, place = match.groups()
        event = EpochEnded(
            self._id(trial_id),
            int(attempt),
            epoch=int(epoch),
            n_epochs=int(n_epochs),
            metrics=_NO_METRICS,
            at=float(at),
        )
        return _Skimmed(event, int(place))

    def _complete(self, begin: re.Match[bytes], end: re.Match[bytes]) -> _Skimmed:
        trial_id, attempt, at = begin.groups()
        event = TrialEnded(self._id(trial_id), int(attempt), TrialState.COMPLETE, at=float(at))
        return _Skimmed(event, int(end[1]))

    def _any(self, raw: bytes) -> _Skimmed | None:
        """Failures, and whatever is not written as expected."""
        if b"\0" in raw:
            return None  # a repair may stand beside it
        line = decode(raw)
        # A line of version 1, or a damaged one.
        if line is None or line.place is None:
            return None
        event = line.event
        if isinstance(event, EpochEnded):
            event = replace(event, metrics=_NO_METRICS)
        elif isinstance(event, TrialEnded):
            event = replace(event, outcome=None)
        return _Skimmed(event, line.place)

    def _id(self, text: bytes) -> str:
        name = text.decode()
        return self._ids.setdefault(name, name)
