"""Search: trials that Optuna's samplers propose one by one, and that its pruners may end early.

For finding good arms, never for estimating effects: what is proposed depends on what was seen. So a
search ends with its best few arms, which are then trained with seeds that the search has not seen,
and only those enter conclusions.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    WilcoxonPruner,
)
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from ablate.grid.search_space import Range, Search, SearchAxis, is_active
from ablate.recipe.recipe import Level
from ablate.scheduling.limits import RETRIED, Limits
from ablate.scheduling.optuna_study import Described, direction_of
from ablate.streams import stream
from ablate.study.trial import Trial, is_better
from ablate.tracking.events import EpochEnded, TrialEnded, TrialStarted, TrialState
from ablate.tracking.journal import Attempt

Cell = dict[str, Level]
_SAME_AGAIN = 50
"""A space counts as exhausted after so many useless proposals in a row.

Useless are trials that there are already, and cells that make no sense.
"""


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """What is searched, how, and with which seed the sampler draws."""

    search: Search
    space: Mapping[str, SearchAxis]
    select_by: str
    n_epochs: int
    """The most epochs of a trial."""
    seed: int

    @property
    def objectives(self) -> tuple[str, ...]:
        """The scores that are weighed, `select_by` first."""
        return self.search.objectives or (self.select_by,)


class SearchQueue:
    """See `Queue`: the next trial is the sampler's proposal after all that has ended so far."""

    def __init__(
        self,
        plan: SearchPlan,
        past: Mapping[tuple[str, int], Attempt],
        *,
        known: Mapping[str, Trial],
        make_trial: Callable[[Cell], Trial | None],
        limits: Limits,
    ) -> None:
        """`known` are the trials behind `past`, by trial_id.

        `make_trial` gives a cell of the space its recipe and the pilot seed, or None for one that
        makes no sense.
        """
        self._plan = plan
        self._make_trial = make_trial
        self._limits = limits
        self._start = time.monotonic()
        with warnings.catch_warnings():
            # Several samplers and pruners have carried that label for years.
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._study = optuna.create_study(
                directions=[direction_of(name) for name in plan.objectives],
                sampler=_sampler(plan, n_past=len(known)),
                pruner=_pruner(plan),
            )
        self._trials: dict[str, Trial] = {}
        """What was proposed, in its order."""
        self._asked: dict[str, optuna.Trial] = {}
        self._parameters: dict[str, Described] = {}
        self._n_attempts: dict[str, int] = {}
        self._retries: dict[str, int] = {}
        self._left: deque[Trial] = deque()
        self._n_started = 0
        self._n_tries = _SAME_AGAIN
        if (
            plan.search.sampler == "qmc"
        ):  # its points come in one order, those of earlier calls first
            self._n_tries += len(known)
        self.is_exhausted = False
        """Whether the space has nothing more to propose."""
        self.n_reused = 0
        attempts_of: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in past.values():
            attempts_of[attempt.started.trial_id].append(attempt)
        for trial in known.values():
            self._take_up(trial, attempts_of[trial.trial_id])
        self._held_back = 0
        """Trials of earlier calls that this one leaves alone."""
        if limits.only_failed:
            self._hold_back(attempts_of)

    def _hold_back(self, attempts_of: Mapping[str, Sequence[Attempt]]) -> None:
        """Leave alone what has not failed in its last attempt."""
        failed: deque[Trial] = deque()
        for trial in self._left:
            attempts = attempts_of[trial.trial_id]
            end = attempts[-1].ended if attempts else None
            if end is not None and end.state is TrialState.FAILED:
                failed.append(trial)
        self._held_back = len(self._left) - len(failed)
        self._left = failed

    def take(self) -> tuple[Trial, int] | None:
        """The next trial and the number of its attempt; None where there is nothing to start."""
        trial = self._next()
        if trial is None:
            return None
        attempt = self._n_attempts.get(trial.trial_id, 0) + 1
        self._n_attempts[trial.trial_id] = attempt
        return trial, attempt

    def _next(self) -> Trial | None:
        if self._left and self._left[0].trial_id in self._retries:
            return self._left.popleft()  # retries count against no limit
        is_spent = (
            self._limits.budget_s is not None
            and time.monotonic() - self._start > self._limits.budget_s
        )
        if is_spent or self._n_started == self._limits.max_trials:
            return None
        trial: Trial | None = None
        if self._left:
            trial = self._left.popleft()
        elif not self._limits.only_failed:
            trial = self._propose()
        self._n_started += trial is not None
        return trial

    def started(self, event: TrialStarted) -> None:
        """Nothing follows from a start."""

    def ended(self, event: TrialEnded, trial: Trial) -> bool:
        """Report a trial's end to the sampler; return whether it gets another attempt now."""
        is_hung = (
            event.state is TrialState.FAILED
            and event.failure is not None
            and event.failure.kind in RETRIED
        )
        if is_hung and self._retries.get(event.trial_id, 0) < self._limits.retries:
            self._retries[event.trial_id] = self._retries.get(event.trial_id, 0) + 1
            self._left.appendleft(trial)
            return True
        _tell(self._study, self._asked.pop(event.trial_id), event, objectives=self._plan.objectives)
        return False

    def is_hopeless(self, event: EpochEnded) -> bool:
        """Whether the pruner gives up on a trial after this epoch."""
        if len(self._plan.objectives) > 1:  # Optuna's pruners compare one number
            return False
        asked = self._asked[event.trial_id]
        value = event.metrics.get(self._plan.select_by, math.nan)
        if math.isfinite(value):
            asked.report(value, event.epoch)
        return asked.should_prune()

    @property
    def n_left(self) -> int:
        """Trials that the search may still propose, and those that wait for another attempt."""
        unproposed = max(0, self._plan.search.n_trials - len(self._trials))
        if self.is_exhausted:
            unproposed = 0
        return unproposed + len(self._left) + self._held_back

    def front(self) -> list[Trial]:
        """The complete trials that no other beats in every objective.

        The best by the first objective comes first; with one objective it is the only one.
        """
        return self._trials_of(
            [trial for trial in self._study.best_trials if "trial_id" in trial.user_attrs]
        )

    def best(self, n_arms: int) -> list[Trial]:
        """The trials of the best arms by `select_by`, the best first.

        Where several objectives are weighed, only those on the front.
        """
        if len(self._plan.objectives) > 1:
            return self.front()[:n_arms]
        complete = [
            trial
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state is OptunaState.COMPLETE and "trial_id" in trial.user_attrs
        ]
        return self._trials_of(complete)[:n_arms]

    def _trials_of(self, asked: Sequence[FrozenTrial]) -> list[Trial]:
        ordered = sorted(
            asked,
            key=lambda trial: trial.values[0],
            reverse=is_better(self._plan.select_by, 1.0, than=0.0),
        )
        return [self._trials[trial.user_attrs["trial_id"]] for trial in ordered]

    def described(self, trial: Trial) -> Described:
        """A proposed trial's parameters and their ranges, for Optuna's storage."""
        return self._parameters[trial.trial_id]

    def _propose(self) -> Trial | None:
        if self.is_exhausted or len(self._trials) >= self._plan.search.n_trials:
            return None
        for _ in range(self._n_tries):
            asked = self._study.ask()
            trial = self._make_trial(self._cell(asked))
            if trial is not None and trial.trial_id not in self._trials:
                asked.set_user_attr("trial_id", trial.trial_id)
                self._trials[trial.trial_id] = trial
                self._asked[trial.trial_id] = asked
                self._parameters[trial.trial_id] = dict(asked.params), dict(asked.distributions)
                return trial
            self._study.tell(asked, state=OptunaState.FAIL)  # the same again says nothing new
        self.is_exhausted = True
        return None

    def _cell(self, asked: optuna.Trial) -> Cell:
        cell: Cell = {}
        for axis, searched in self._plan.space.items():
            if is_active(searched, cell):
                cell[axis] = _suggest(asked, axis, searched)
        return cell

    def _take_up(self, trial: Trial, attempts: Sequence[Attempt]) -> None:
        """Take up what an earlier call proposed.

        The sampler hears again of what has ended. What was killed, failed or never started is
        proposed again, before anything new.
        """
        trial_id = trial.trial_id
        asked = self._ask_again(trial)
        self._trials[trial_id] = trial
        self._asked[trial_id] = asked
        self._parameters[trial_id] = dict(asked.params), dict(asked.distributions)
        numbers = [attempt.started.attempt for attempt in attempts]
        self._n_attempts[trial_id] = max(numbers, default=0)
        for attempt in attempts:
            end = attempt.ended
            if end is not None and end.state in (TrialState.COMPLETE, TrialState.PRUNED):
                for event in attempt.epochs:
                    self.is_hopeless(event)  # the pruner compares later trials with this one
                self.n_reused += 1
                _tell(self._study, self._asked.pop(trial_id), end, objectives=self._plan.objectives)
                return
        self._left.append(trial)

    def _ask_again(self, trial: Trial) -> optuna.Trial:
        """A running Optuna trial with the parameters of one that an earlier call proposed."""
        cell: Cell = {}
        for axis, searched in self._plan.space.items():
            if is_active(searched, cell):
                cell[axis] = getattr(trial.recipe, axis)
        self._study.enqueue_trial({axis: _word(level) for axis, level in cell.items()})
        asked = self._study.ask()
        self._cell(asked)
        asked.set_user_attr("trial_id", trial.trial_id)
        return asked


def _suggest(asked: optuna.Trial, axis: str, searched: SearchAxis) -> Level:
    if isinstance(searched, Range):
        if isinstance(searched.low, int) and isinstance(searched.high, int):
            return asked.suggest_int(axis, searched.low, searched.high, log=searched.log)
        return asked.suggest_float(axis, searched.low, searched.high, log=searched.log)
    words = [_word(level) for level in searched.levels]
    level: Level = searched.levels[words.index(asked.suggest_categorical(axis, words))]
    return level


def _word(level: Level) -> bool | int | float | str | None:
    return json.dumps(level) if isinstance(level, tuple) else level


def _tell(
    study: optuna.Study, asked: optuna.Trial, ended: TrialEnded, *, objectives: Sequence[str]
) -> None:
    metrics = {} if ended.outcome is None else ended.outcome.metrics
    values = [metrics.get(name, math.nan) for name in objectives]
    if ended.state is TrialState.COMPLETE and all(map(math.isfinite, values)):
        study.tell(asked, values)
    elif ended.state is TrialState.PRUNED:
        study.tell(asked, state=OptunaState.PRUNED)
    else:
        study.tell(asked, state=OptunaState.FAIL)


def _sampler(plan: SearchPlan, *, n_past: int) -> BaseSampler:
    """The sampler of a call, after `n_past` trials of earlier calls.

    A call that goes on draws from another place of the stream than the calls before it, or it would
    propose what they did; qmc has one set of points.
    """
    n_trials = plan.search.n_trials
    seed = stream(plan.seed, "search", n_past) % 2**32
    n_startup = min(10, max(2, n_trials // 4))
    match plan.search.sampler:
        case "random":
            return RandomSampler(seed=seed)
        case "tpe":
            # Several slots ask before the trials of others have ended.
            return TPESampler(seed=seed, n_startup_trials=n_startup, constant_liar=True)
        case "gp":
            return GPSampler(seed=seed, n_startup_trials=n_startup)
        case "cma-es":
            return CmaEsSampler(
                seed=seed, n_startup_trials=n_startup, warn_independent_sampling=False
            )
        case "qmc":
            return QMCSampler(
                seed=stream(plan.seed, "search", "points") % 2**32,
                scramble=True,
                warn_independent_sampling=False,
            )
        case "nsga2":
            return NSGAIISampler(seed=seed, population_size=max(4, n_trials // 5))


def _pruner(plan: SearchPlan) -> BasePruner:
    match plan.search.pruner:
        case "none":
            return NopPruner()
        case "median":
            return MedianPruner(n_startup_trials=4, n_warmup_steps=1)
        case "hyperband":
            return HyperbandPruner(min_resource=1, max_resource=plan.n_epochs, reduction_factor=3)
        case "wilcoxon":
            return WilcoxonPruner(p_threshold=0.1)
        case "patient":
            return PatientPruner(MedianPruner(n_startup_trials=4), patience=1)
