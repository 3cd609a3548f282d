"""Which trial goes next. Trials that share kept activations are a unit.

One trial of a unit builds the activations, and the others use them while they are warm.

    round       consecutive trials of one seed; a round begins when the one before has nothing left
                that is worth starting, so a study that is cut short has every arm equally often,
                give or take one per slot
    warm unit   a trial of it has completed: first choice, because its views are there and nothing
                has pushed them out yet
    cold unit   nobody has built it, and nobody does: second choice, together with trials that share
                nothing
    busy unit   another slot builds it now: last choice, after cold units of the next round

Trials that are left to choose last meet a busy unit only where nothing else remains;
`training.feeds.activations` then lets them build other views of it meanwhile. Numbers do not depend
on any of this: activations are computed in the same batches whoever does it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from ablate.study.trial import Trial

UnitOf = Callable[[Trial], str | None]
"""Names the unit of a trial; None: it shares nothing, and nobody waits for it."""


Placed = tuple[int, Trial]
"""A trial with its place in the grid."""
Round = dict[str | None, deque[Placed]]
"""Unit -> its trials that wait, of one seed."""


def alone(trial: Trial) -> str | None:  # noqa: ARG001
    """Every trial by itself: they run in the order of the grid."""
    return None


class WorkUnits:
    """The trials that wait, and what is known of the units of those that run."""

    def __init__(self, trials: Sequence[Trial], unit_of: UnitOf) -> None:
        """`trials` in the order of the grid."""
        self._unit_of = unit_of
        self._rounds: list[Round] = []
        for _, placed in groupby(enumerate(trials), key=lambda placed: placed[1].seed):
            self._rounds.append(self._queues(placed))
        self._again: deque[Trial] = deque()
        self._warm: set[str] = set()
        # Unit -> its trials that run now.
        self._running: Counter[str] = Counter()
        self._n_waiting = len(trials)

    def _queues(self, placed_trials: Iterable[Placed]) -> Round:
        queues: Round = {}
        for place, trial in placed_trials:
            queues.setdefault(self._unit_of(trial), deque()).append((place, trial))
        return queues

    def __len__(self) -> int:
        return self._n_waiting

    def take(self) -> Trial | None:
        """The next trial, which counts as running from now on, or None where none is left."""
        queue = next(self._choices(), None)
        if queue is not None:
            trial = queue.popleft()[1]
        elif self._again:
            trial = self._again.popleft()
        else:
            return None
        self._n_waiting -= 1
        unit = self._unit_of(trial)
        if unit is not None:
            self._running[unit] += 1
        return trial

    def ended(self, trial: Trial, *, is_complete: bool) -> None:
        """A trial ended; if it completed, its unit is warm."""
        unit = self._unit_of(trial)
        if unit is not None:
            self._running[unit] -= 1
            if is_complete:
                self._warm.add(unit)

    def again(self, trial: Trial) -> None:
        """Let a trial wait for another attempt, behind all others."""
        self._again.append(trial)
        self._n_waiting += 1

    def _choices(self) -> Iterator[deque[Placed]]:
        """The queues whose first trial may go next, the best choice first."""
        busy = []
        # Rounds in their order, so that a later seed starts only where an earlier one has nothing
        # that is worth starting.
        for queues in self._rounds:
            waiting = {unit: queue for unit, queue in queues.items() if queue}
            # By the place of its first trial: so units take turns in the order of the grid.
            by_place = sorted(waiting, key=lambda unit: waiting[unit][0][0])
            for unit in by_place:
                if unit in self._warm:
                    yield waiting[unit]
            for unit in by_place:
                if unit is None or (unit not in self._warm and not self._running[unit]):
                    yield waiting[unit]
                elif unit not in self._warm:
                    busy.append(waiting[unit])
        yield from busy
