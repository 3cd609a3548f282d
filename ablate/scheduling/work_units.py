"""Which trial goes next. Trials that share kept activations are a unit.

One trial of a unit builds the activations, and the others use them while they are warm.

    round       consecutive trials of one seed; a round begins when the one before has nothing left
                that is worth starting, so a study that is cut short has every arm equally often,
                give or take one per slot
    no unit     trials that share nothing, such as full fine-tuning, are the longest: first choice,
                so that none of them is left for the end, where the other slots would wait for it,
                and what it takes is known early; of these the longest first, by their recipes
                (`trial_costs.prior`: no clock, so the order is the same on every machine)
    warm unit   a trial of it has completed: second choice, because its views are there and nothing
                has pushed them out yet
    cold unit   nobody has built it, and nobody does: third choice
    busy unit   another slot builds it now: last choice, after cold units of the next round

Trials that are left to choose last meet a busy unit only where nothing else remains;
`training.feeds.activations` then lets them build other views of it meanwhile. Numbers do not depend
on any of this: activations are computed in the same batches whoever does it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import groupby
from typing import NamedTuple

from ablate.scheduling.trial_costs import prior
from ablate.study.trial import Trial

UnitOf = Callable[[Trial], str | None]
"""Names the unit of a trial; None: it shares nothing, and nobody waits for it."""


class _Placed(NamedTuple):
    """A trial that waits."""

    round: int
    urgency: float
    """Minus what it costs: the longest comes first."""
    place: int
    """In the grid."""
    trial: Trial


class _Choice(NamedTuple):
    """The first waiting trial of a unit, as it compares with those of other units: least first."""

    is_busy: bool
    round: int
    """Of a busy unit 0: what it builds is waited for in whatever round."""
    is_shared: bool
    is_cold: bool
    urgency: float
    """0 where it is shared: those take turns in the order of the grid."""
    place: int
    unit: str | None


def alone(trial: Trial) -> str | None:  # noqa: ARG001
    """Every trial by itself: those that take as long run in the order of the grid."""
    return None


class WorkUnits:
    """The trials that wait, and what is known of the units of those that run.

    To take one costs the logarithm of the number of units, however many trials and seeds there are.
    """

    def __init__(self, trials: Sequence[Trial], unit_of: UnitOf) -> None:
        """`trials` in the order of the grid."""
        self._unit_of = unit_of
        # Unit -> its trials that wait, in the order of the grid, but those of no unit the longest
        # first. One queue for all rounds is enough: what is known of a unit holds in each of them,
        # so its first trial is its best.
        self._waiting: dict[str | None, deque[_Placed]] = {}
        rounds = groupby(enumerate(trials), key=lambda placed: placed[1].seed)
        for number, (_, placed_trials) in enumerate(rounds):
            for place, trial in placed_trials:
                queue = self._waiting.setdefault(unit_of(trial), deque())
                urgency = -prior(trial.recipe)
                queue.append(_Placed(number, urgency, place, trial))
        if None in self._waiting:
            self._waiting[None] = deque(sorted(self._waiting[None], key=_longest_first))
        self._again: deque[Trial] = deque()
        self._warm: set[str] = set()
        # Unit -> its trials that run now.
        self._running: Counter[str] = Counter()
        self._n_waiting = len(trials)
        self._shared = {unit for unit, queue in self._waiting.items() if len(queue) > 1}
        self._shared.discard(None)
        # A heap. A unit whose standing changed is pushed once more; what it was pushed as before is
        # passed over when it comes up.
        self._choices: list[_Choice] = []
        for unit in self._waiting:
            self._offer(unit)

    def __len__(self) -> int:
        return self._n_waiting

    def take(self) -> Trial | None:
        """The next trial, which counts as running from now on, or None where none is left."""
        trial = self._first_choice()
        if trial is None and self._again:
            trial = self._again.popleft()
        if trial is None:
            return None
        self._n_waiting -= 1
        unit = self._unit_of(trial)
        if unit is not None:
            self._running[unit] += 1
        self._offer(unit)
        return trial

    def ended(self, trial: Trial, *, is_complete: bool) -> None:
        """A trial ended; if it completed, its unit is warm."""
        unit = self._unit_of(trial)
        if unit is not None:
            self._running[unit] -= 1
            if is_complete:
                self._warm.add(unit)
            self._offer(unit)

    def again(self, trial: Trial) -> None:
        """Let a trial wait for another attempt, behind all others."""
        self._again.append(trial)
        self._n_waiting += 1

    def _first_choice(self) -> Trial | None:
        """Take the best choice out of its queue; None where only retries are left."""
        while self._choices:
            choice = heappop(self._choices)
            if choice == self._choice(choice.unit):
                return self._waiting[choice.unit].popleft().trial
        return None

    def _offer(self, unit: str | None) -> None:
        """Put a unit among the choices as it stands now."""
        choice = self._choice(unit)
        if choice is not None:
            heappush(self._choices, choice)

    def _choice(self, unit: str | None) -> _Choice | None:
        """How a unit stands; None where none of its trials waits."""
        queue = self._waiting.get(unit)
        if not queue:
            return None
        first = queue[0]
        is_warm = unit in self._warm
        is_busy = unit is not None and not is_warm and self._running[unit] > 0
        # Rounds in their order, so that a later seed starts only where an earlier one has nothing
        # that is worth starting; then by place: so units take turns in the order of the grid.
        number = 0 if is_busy else first.round
        is_shared = unit in self._shared
        urgency = 0.0 if is_shared else first.urgency
        return _Choice(is_busy, number, is_shared, not is_warm, urgency, first.place, unit)


def _longest_first(placed: _Placed) -> tuple[int, float, int]:
    """Round by round."""
    return placed.round, placed.urgency, placed.place
