"""How long a study still takes, by what trials of each kind took.

Cheap trials say little of expensive ones, so each kind is counted by itself: see `trial_costs`.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ablate.recipe.recipe import Recipe
from ablate.scheduling.trial_costs import Spent, TimedKind, TrialCosts
from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialStarted, TrialState

# A trial that has run so many times as long as its kind did is of a kind of its own.
_OVERDUE = 1.2
# What the imports of a worker take, about.
_IMPORTS_S = 5.0
PREFIX_S = "time/prefix_s"
"""Metric of an outcome: seconds that the trial computed activations of its frozen prefix."""


@dataclass(frozen=True, slots=True)
class Left:
    """An estimate."""

    seconds: float
    is_rough: bool
    """Whether it may well be another: trials are of a kind of which none has ended yet and are
    taken as the nearest that is known, or one runs longer than its kind did."""


@dataclass
class _Running:
    """A trial that runs."""

    began: float
    is_first: bool
    """Of its slot."""
    whole_s: float | None = None
    """What it takes by its epochs so far; None before they tell."""
    each_s: float | None = None
    """What another one of its kind takes, whose start and prefix cost nothing."""
    _first: EpochEnded | None = None
    """The epoch that ended first in this attempt."""

    def hear(self, event: EpochEnded) -> None:
        """Note the end of an epoch."""
        if self._first is None:
            self._first = event
            since_s = event.at - self.began
            # Of a slot's first trial, its worker's imports are in it: of a short epoch times six,
            # that is nonsense.
            if self.is_first:
                since_s -= _IMPORTS_S
            if not self.is_first or since_s > 2 * _IMPORTS_S:
                self.whole_s = since_s / (event.epoch + 1) * event.n_epochs
                self.each_s = self.whole_s
        elif event.epoch > self._first.epoch:
            # By the epochs since: the first one had the trial's start and its prefix in it.
            epoch_s = (event.at - self._first.at) / (event.epoch - self._first.epoch)
            n_left = event.n_epochs - event.epoch - 1
            self.whole_s = event.at - self.began + n_left * epoch_s
            self.each_s = event.n_epochs * epoch_s


@dataclass
class StudyClock:
    """Hears a study's events and says how long is left.

    Trials of which no recipe is known (of a search) are one kind.
    """

    recipes: Mapping[str, Recipe]
    """trial_id -> recipe; may grow."""
    n_trials: int
    _running: dict[str, _Running] = field(default_factory=dict)
    """trial_id -> what is known of it."""
    _ended: set[str] = field(default_factory=set)
    _slots: set[str] = field(default_factory=set)
    """Those that have begun a trial: the first one brings the imports of its worker along."""
    _costs: TrialCosts = field(default_factory=TrialCosts)

    def hear(self, event: Event) -> None:
        """Note one event; the events of an attempt come in their order."""
        if isinstance(event, TrialStarted):
            self._ended.discard(event.trial_id)
            is_first = event.slot not in self._slots
            self._slots.add(event.slot)
            self._running[event.trial_id] = _Running(event.at, is_first=is_first)
        elif isinstance(event, EpochEnded):
            if event.trial_id in self._running:
                self._running[event.trial_id].hear(event)
        else:
            self._hear_end(event)

    def hear_all(self, events: Iterable[Event]) -> None:
        """Note what happened before, e.g. in earlier calls."""
        for event in events:
            self.hear(event)

    def _hear_end(self, event: TrialEnded) -> None:
        running = self._running.pop(event.trial_id, None)
        if event.state is not TrialState.KILLED:  # the next call runs those again
            self._ended.add(event.trial_id)
        if event.state in (TrialState.COMPLETE, TrialState.PRUNED) and running is not None:
            seconds = max(event.at - running.began, 0.0)
            if running.is_first and running.each_s is not None:
                seconds = min(seconds, running.each_s)
            # What a trial says of itself; a trial that computed nothing waited for nobody.
            prefix_s = 0.0
            if event.outcome is not None:
                prefix_s = min(event.outcome.metrics.get(PREFIX_S, 0.0), seconds)
            spent = Spent(seconds, prefix_s, is_first=running.is_first)
            self._costs.note(self.recipes.get(event.trial_id), spent)

    def left(self, now: float, *, n_slots: int | None = None) -> Left | None:
        """Return what is left at `now`, seconds since 1970.

        None where nothing runs or nothing is known yet. `n_slots` trials run side by side, by
        default as many as do now. With durations that hold, the truth is not more than the longest
        trial beyond it.
        """
        waiting = self._waiting()
        running_s = self._by_epochs_s()
        if not self._running or not (self._costs.has_any or running_s):
            return None
        rests_s = []
        is_rough = False
        for trial_id, running in self._running.items():
            for_s = now - running.began
            of_kind_s = self._expected_s(self._recipe(trial_id), running_s)
            expected_s = running.whole_s or of_kind_s
            rests_s.append(max(expected_s - for_s, 0.0))
            is_rough = is_rough or for_s > _OVERDUE * of_kind_s
        work_s = sum(rests_s)
        longest_s = max(rests_s)
        for recipe, count in waiting.values():
            expected_s = self._expected_s(recipe, running_s)
            work_s += expected_s * count
            longest_s = max(longest_s, expected_s)
            is_rough = is_rough or not self._costs.knows(self._costs.kind(recipe))
        for trial_id in self._running:
            is_rough = is_rough or not self._costs.knows(self._kind(trial_id))
        # Slots share the work, but no trial: the longest one bounds it from below.
        seconds = max(work_s / (n_slots or len(self._running)), longest_s)
        return Left(seconds, is_rough=is_rough)

    def _by_epochs_s(self) -> dict[TimedKind, float]:
        """Kinds of which a trial runs -> what another one is going to take by its epochs."""
        of_kind: dict[TimedKind, list[float]] = {}
        for trial_id, running in self._running.items():
            if running.each_s is not None:
                of_kind.setdefault(self._kind(trial_id), []).append(running.each_s)
        return {kind: statistics.median_low(seconds) for kind, seconds in of_kind.items()}

    def _expected_s(self, recipe: Recipe | None, running_s: dict[TimedKind, float]) -> float:
        """Seconds of a trial."""
        kind = self._costs.kind(recipe)
        own_s = self._costs.own_s(kind)
        if own_s is None:
            own_s = running_s.get(kind)
        if own_s is None:
            own_s = self._costs.guessed_s(kind, running_s)
        return own_s + self._costs.prefix_s(recipe)

    def _waiting(self) -> dict[TimedKind, tuple[Recipe | None, int]]:
        """Trials that have neither begun nor ended, by kind: a recipe of it and how many."""
        # A dict, not a set: its order, and with it the sum, is the same in every process.
        known = dict.fromkeys([*self.recipes, *self._ended, *self._running])
        counts: Counter[TimedKind] = Counter()
        recipe_of: dict[TimedKind, Recipe | None] = {}
        for trial_id in known:
            if trial_id not in self._ended and trial_id not in self._running:
                kind = self._kind(trial_id)
                counts[kind] += 1
                recipe_of.setdefault(kind, self._recipe(trial_id))
        n_unnamed = self.n_trials - len(known)
        if n_unnamed > 0:
            kind = self._costs.kind(None)
            counts[kind] += n_unnamed
            recipe_of[kind] = None
        return {kind: (recipe_of[kind], count) for kind, count in counts.items()}

    def _recipe(self, trial_id: str) -> Recipe | None:
        return self.recipes.get(trial_id)

    def _kind(self, trial_id: str) -> TimedKind:
        return self._costs.kind(self._recipe(trial_id))
