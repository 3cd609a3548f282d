"""How long a study still takes, by what trials of each kind took.

Cheap trials say little of expensive ones, so each kind is counted by itself.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from ablate.recipe.policy import is_clean
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import frees_trunk, n_epochs
from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialStarted, TrialState

COSTLESS = frozenset(
    {
        "head_lr",
        "lr_ratio",
        "layer_decay",
        "momentum",
        "weight_decay",
        "schedule",
        "warmup",
        "step_every",
        "step_factor",
        "label_smoothing",
        "class_weights",
        "effective_beta",
        "focal_gamma",
        "logit_adjustment",
        "classifier_l2",
    }
)
"""Fields of a recipe that change what is learned and not how long that takes."""
# A trial that has run so many times as long as its kind did is of a kind of its own.
_OVERDUE = 1.2
# Trials of a kind that say what the next one takes: machines get slower and faster.
_N_RECENT = 5

Kind = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """An estimate."""

    seconds: float
    is_at_least: bool
    """Whether it may well be more: some trials are of a kind of which none has ended yet, or one
    runs longer than its kind did."""


@lru_cache(maxsize=4096)
def kind_of(recipe: Recipe) -> Kind:
    """What trials have in common that take about as long as each other."""
    return tuple(value for name, value in recipe if name not in COSTLESS)


@lru_cache(maxsize=4096)
def prior(recipe: Recipe) -> float:
    """What a trial costs beside others, before one of its kind was seen.

    1 is an epoch of a head on kept features. Low on purpose: measured ratios are larger, and
    "at least" must hold.
    """
    per_epoch = 1.0
    if not is_clean(recipe):
        per_epoch += 1.0
    if recipe.adapter_kind != "none":
        per_epoch += 3.0
    elif frees_trunk(recipe):
        is_partly_frozen = isinstance(recipe.freeze_depth, int) and recipe.freeze_depth < 0
        per_epoch += 2.0 if is_partly_frozen else 4.0
    return per_epoch * n_epochs(recipe)


@dataclass
class StudyClock:
    """Hears a study's events and says how long is left.

    Trials of which no recipe is known (of a search) are one kind.
    """

    recipes: Mapping[str, Recipe]
    """trial_id -> recipe; may grow."""
    n_trials: int
    _started: dict[str, float] = field(default_factory=dict)
    """Of trials that run, seconds since 1970."""
    _by_epochs_s: dict[str, float] = field(default_factory=dict)
    """Of trials that run: what the whole trial takes by its epochs so far, in seconds."""
    _ended: set[str] = field(default_factory=set)
    _seconds: dict[Kind, list[float]] = field(default_factory=dict)
    """What trials of a kind took that have ended."""
    _priors: dict[Kind, float] = field(default_factory=dict)

    def hear(self, event: Event) -> None:
        """Note one event; the events of an attempt come in their order."""
        if isinstance(event, TrialStarted):
            self._ended.discard(event.trial_id)
            self._started[event.trial_id] = event.at
            self._by_epochs_s.pop(event.trial_id, None)
        elif isinstance(event, EpochEnded):
            since_s = event.at - self._started.get(event.trial_id, event.at)
            self._by_epochs_s[event.trial_id] = since_s / (event.epoch + 1) * event.n_epochs
        else:
            self._hear_end(event)

    def hear_all(self, events: Iterable[Event]) -> None:
        """Note what happened before, e.g. in earlier calls."""
        for event in events:
            self.hear(event)

    def _hear_end(self, event: TrialEnded) -> None:
        began = self._started.pop(event.trial_id, None)
        self._by_epochs_s.pop(event.trial_id, None)
        if event.state is not TrialState.KILLED:  # the next call runs those again
            self._ended.add(event.trial_id)
        if event.state in (TrialState.COMPLETE, TrialState.PRUNED) and began is not None:
            of_kind = self._seconds.setdefault(self._kind(event.trial_id), [])
            of_kind.append(max(event.at - began, 0.0))

    def left(self, now: float, *, n_slots: int | None = None) -> Left | None:
        """Return what is left at `now`, seconds since 1970.

        None where nothing runs or nothing is known yet. `n_slots` trials run side by side, by
        default as many as do now. With durations that hold, the truth is not more than the longest
        trial beyond it.
        """
        waiting = self._waiting()
        if not self._started or not (self._seconds or self._by_epochs_s):
            return None
        rests_s = []
        is_overdue = False
        for trial_id, began in self._started.items():
            for_s = now - began
            expected_s = self._expected(self._kind(trial_id), trial_id)
            rests_s.append(max(expected_s - for_s, 0.0))
            is_overdue = is_overdue or for_s > _OVERDUE * expected_s
        work_s = sum(rests_s)
        longest_s = max(rests_s)
        for kind, count in waiting.items():
            expected_s = self._expected(kind)
            work_s += expected_s * count
            longest_s = max(longest_s, expected_s)
        kinds = {*waiting, *map(self._kind, self._started)}
        is_unknown = not kinds <= self._seconds.keys()
        # Slots share the work, but no trial: the longest one bounds it from below.
        seconds = max(work_s / (n_slots or len(self._started)), longest_s)
        return Left(seconds, is_at_least=is_overdue or is_unknown)

    def _waiting(self) -> Counter[Kind]:
        """Trials that have neither begun nor ended, by kind."""
        # A dict, not a set: its order, and with it the sum, is the same in every process.
        known = dict.fromkeys([*self.recipes, *self._ended, *self._started])
        waiting: Counter[Kind] = Counter()
        for trial_id in known:
            if trial_id not in self._ended and trial_id not in self._started:
                waiting[self._kind(trial_id)] += 1
        n_unnamed = self.n_trials - len(known)
        if n_unnamed > 0:
            waiting[self._kind("")] += n_unnamed
        return waiting

    def _kind(self, trial_id: str) -> Kind:
        recipe = self.recipes.get(trial_id)
        kind = () if recipe is None else kind_of(recipe)
        if kind not in self._priors:
            self._priors[kind] = 1.0 if recipe is None else prior(recipe)
        return kind

    def _expected(self, kind: Kind, trial_id: str = "") -> float:
        """Seconds of a trial.

        By trials of its kind that have ended, by its own epochs, by those of its kind that run, or
        else by trials of other kinds, in proportion to their `prior`.
        """
        if kind in self._seconds:
            # A median: one trial that met a cold cache says little of the others.
            return statistics.median(self._seconds[kind][-_N_RECENT:])
        if trial_id in self._by_epochs_s:
            return self._by_epochs_s[trial_id]
        alike = [s for other, s in self._by_epochs_s.items() if self._kind(other) == kind]
        if alike:
            return statistics.median(alike)
        return self._at_least(self._priors[kind])

    def _at_least(self, prior_of_kind: float) -> float:
        """Seconds of a trial of a kind that nobody saw, from kinds that should not cost more.

        0 where there are none.
        """
        measured_s = {kind: statistics.median(seconds) for kind, seconds in self._seconds.items()}
        for trial_id, seconds in self._by_epochs_s.items():
            measured_s.setdefault(self._kind(trial_id), seconds)
        # Only kinds that should cost no more: from a dearer one, "at least" would not follow.
        total_s = 0.0
        total_prior = 0.0
        for kind, seconds in measured_s.items():
            if self._priors[kind] <= prior_of_kind:
                total_s += seconds
                total_prior += self._priors[kind]
        if not total_prior:
            return 0.0
        return total_s / total_prior * prior_of_kind
