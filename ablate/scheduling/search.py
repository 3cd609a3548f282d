"""Search: trials that Optuna's samplers propose one after the other, and that its pruners may end early.

For finding good arms, never for estimating effects: what is proposed depends on what was seen. So a search ends with its best few arms, which are then
trained with seeds that the search has not seen, and only those enter conclusions.
"""

from __future__ import annotations

import json
import math
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, PatientPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import TrialState as OptunaState

from ablate.scheduling.limits import RETRIED
from ablate.scheduling.optuna_study import Described, direction_of
from ablate.spec.recipe import Level
from ablate.spec.trial import Trial
from ablate.tracking.events import EpochEnded, TrialEnded, TrialStarted, TrialState
from ablate.tracking.journal import Attempt

Sampler = Literal["random", "tpe", "gp", "cma-es", "qmc", "nsga2"]
Pruner = Literal["none", "median", "hyperband", "wilcoxon", "patient"]
Cell = dict[str, Level]
_SAME_AGAIN = 20
"""Proposals in a row of trials that there are already, after which a space counts as exhausted."""


@dataclass(frozen=True, slots=True)
class Range:
    """Values of an axis between two bounds, both included; whole numbers where both bounds are."""

    low: float
    high: float
    log: bool = False

    def distribution(self) -> BaseDistribution:
        """As Optuna says it."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return IntDistribution(self.low, self.high, log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)


@dataclass(frozen=True, slots=True)
class SearchAxis:
    """What is searched for one field of the recipe, and for which values of axes before it it matters."""

    values: Range | tuple[Level, ...]
    when: Mapping[str, tuple[Level, ...]] = field(default_factory=dict)

    def is_active(self, cell: Cell) -> bool:
        """Whether the axis matters for what was chosen so far."""
        return all(axis in cell and cell[axis] in levels for axis, levels in self.when.items())


@dataclass(frozen=True, slots=True)
class Search:
    """How many trials are looked at, who proposes them, and who gives up on them."""

    space: Mapping[str, SearchAxis]
    select_by: str
    n_trials: int
    n_epochs: int
    sampler: Sampler
    pruner: Pruner
    seed: int


class SearchQueue:
    """See `Queue`: the next trial is the sampler's proposal after all that has ended, in this call and before."""

    def __init__(
        self,
        search: Search,
        past: Mapping[tuple[str, int], Attempt],
        *,
        known: Mapping[str, Trial],
        make_trial: Callable[[Cell], Trial],
        retries: int = 0,
    ) -> None:
        """`known` are the trials behind `past`, by trial_id; `make_trial` gives a cell of the space its recipe and the pilot seed."""
        self._search, self._make_trial, self._max_retries = search, make_trial, retries
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # several samplers and pruners carry that label for years
            self._study = optuna.create_study(direction=direction_of(search.select_by), sampler=_sampler(search), pruner=_pruner(search))
        self._trials: dict[str, Trial] = {}
        """What was proposed, in its order."""
        self._asked: dict[str, optuna.Trial] = {}
        self._parameters: dict[str, Described] = {}
        self._n_attempts: dict[str, int] = {}
        self._retries: dict[str, int] = {}
        self._left: deque[Trial] = deque()
        self.n_reused = 0
        for attempt in past.values():
            if attempt.started.trial_id in known:
                self._remember(attempt, known[attempt.started.trial_id])

    def take(self) -> tuple[Trial, int] | None:
        """The next trial and the number of its attempt, or None where the search is over, or waits for nothing but ends."""
        trial = self._left.popleft() if self._left else self._propose()
        if trial is None:
            return None
        attempt = self._n_attempts.get(trial.trial_id, 0) + 1
        self._n_attempts[trial.trial_id] = attempt
        return trial, attempt

    def started(self, event: TrialStarted) -> None:
        """Nothing follows from a start."""

    def ended(self, event: TrialEnded, trial: Trial) -> bool:
        """Tell the sampler how a trial ended; return whether it gets another attempt in this call."""
        is_hung = event.state is TrialState.FAILED and event.failure is not None and event.failure.kind in RETRIED
        if is_hung and self._retries.get(event.trial_id, 0) < self._max_retries:
            self._retries[event.trial_id] = self._retries.get(event.trial_id, 0) + 1
            self._left.append(trial)
            return True
        _tell(self._study, self._asked.pop(event.trial_id), event, select_by=self._search.select_by)
        return False

    def is_hopeless(self, event: EpochEnded) -> bool:
        """Whether the pruner gives up on a trial after this epoch."""
        asked, value = self._asked[event.trial_id], event.metrics.get(self._search.select_by, math.nan)
        if math.isfinite(value):
            asked.report(value, event.epoch)
        return asked.should_prune()

    @property
    def n_left(self) -> int:
        """Trials that the search may still propose."""
        return max(0, self._search.n_trials - len(self._trials)) + len(self._left)

    def best(self, n_arms: int) -> list[Trial]:
        """The trials of the best arms by `select_by`, the best first; only such as were trained to their end."""
        complete = [trial for trial in self._study.get_trials(deepcopy=False) if trial.state is OptunaState.COMPLETE and "trial_id" in trial.user_attrs]
        complete.sort(key=lambda trial: trial.value or 0.0, reverse=self._study.direction is optuna.study.StudyDirection.MAXIMIZE)
        return [self._trials[trial.user_attrs["trial_id"]] for trial in complete[:n_arms]]

    def described(self, trial: Trial) -> Described:
        """A proposed trial's parameters and their ranges, for Optuna's storage."""
        return self._parameters[trial.trial_id]

    def _propose(self) -> Trial | None:
        for _ in range(_SAME_AGAIN):
            if len(self._trials) >= self._search.n_trials:
                return None
            asked = self._study.ask()
            trial = self._make_trial(self._cell(asked))
            if trial.trial_id not in self._trials:
                asked.set_user_attr("trial_id", trial.trial_id)
                self._trials[trial.trial_id], self._asked[trial.trial_id] = trial, asked
                self._parameters[trial.trial_id] = dict(asked.params), dict(asked.distributions)
                return trial
            self._study.tell(asked, state=OptunaState.FAIL)  # the same again says nothing new
        return None

    def _cell(self, asked: optuna.Trial) -> Cell:
        cell: Cell = {}
        for axis, searched in self._search.space.items():
            if searched.is_active(cell):
                cell[axis] = _suggest(asked, axis, searched.values)
        return cell

    def _remember(self, attempt: Attempt, trial: Trial) -> None:
        """Take up what an earlier call did: what has ended is told again, what was killed or failed is proposed again, first of all."""
        trial_id, ended = trial.trial_id, attempt.ended
        self._n_attempts[trial_id] = max(attempt.started.attempt, self._n_attempts.get(trial_id, 0))
        if trial_id not in self._trials:
            self._trials[trial_id] = trial
            self._asked[trial_id] = asked = self._ask_again(trial)
            self._parameters[trial_id] = dict(asked.params), dict(asked.distributions)
            self._left.append(trial)
        if ended is not None and ended.state in (TrialState.COMPLETE, TrialState.PRUNED) and trial_id in self._asked:
            for event in attempt.epochs:
                self.is_hopeless(event)
            self._left.remove(trial)
            self.n_reused += 1
            _tell(self._study, self._asked.pop(trial_id), ended, select_by=self._search.select_by)

    def _ask_again(self, trial: Trial) -> optuna.Trial:
        """A running Optuna trial with the parameters of a trial that was proposed in an earlier call."""
        cell: Cell = {}
        for axis, searched in self._search.space.items():
            if searched.is_active(cell):
                cell[axis] = getattr(trial.recipe, axis)
        self._study.enqueue_trial({axis: _word(level) for axis, level in cell.items()})
        asked = self._study.ask()
        self._cell(asked)
        asked.set_user_attr("trial_id", trial.trial_id)
        return asked


def _suggest(asked: optuna.Trial, axis: str, values: Range | Sequence[Level]) -> Level:
    if isinstance(values, Range):
        distribution = values.distribution()
        if isinstance(distribution, IntDistribution):
            return asked.suggest_int(axis, distribution.low, distribution.high, log=distribution.log)
        return asked.suggest_float(axis, values.low, values.high, log=values.log)
    words = [_word(level) for level in values]
    return values[words.index(asked.suggest_categorical(axis, words))]


def _word(level: Level) -> bool | int | float | str | None:
    return json.dumps(level) if isinstance(level, tuple) else level


def _tell(study: optuna.Study, asked: optuna.Trial, ended: TrialEnded, *, select_by: str) -> None:
    value = math.nan if ended.outcome is None else ended.outcome.metrics.get(select_by, math.nan)
    if ended.state is TrialState.COMPLETE and math.isfinite(value):
        study.tell(asked, value)
    elif ended.state is TrialState.PRUNED:
        study.tell(asked, state=OptunaState.PRUNED)
    else:
        study.tell(asked, state=OptunaState.FAIL)


def _sampler(search: Search) -> BaseSampler:
    n_startup = min(10, max(2, search.n_trials // 4))
    match search.sampler:
        case "random":
            return RandomSampler(seed=search.seed)
        case "tpe":
            return TPESampler(seed=search.seed, n_startup_trials=n_startup, constant_liar=True)  # several slots ask before others have told
        case "gp":
            return GPSampler(seed=search.seed, n_startup_trials=n_startup)
        case "cma-es":
            return CmaEsSampler(seed=search.seed, n_startup_trials=n_startup)
        case "qmc":
            return QMCSampler(seed=search.seed, scramble=True)
        case "nsga2":
            return NSGAIISampler(seed=search.seed, population_size=max(4, search.n_trials // 5))


def _pruner(search: Search) -> BasePruner:
    match search.pruner:
        case "none":
            return NopPruner()
        case "median":
            return MedianPruner(n_startup_trials=4, n_warmup_steps=1)
        case "hyperband":
            return HyperbandPruner(min_resource=1, max_resource=search.n_epochs, reduction_factor=3)
        case "wilcoxon":
            return WilcoxonPruner(p_threshold=0.1)
        case "patient":
            return PatientPruner(MedianPruner(n_startup_trials=4), patience=1)
