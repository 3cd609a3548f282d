"""Search: trials that Optuna's samplers propose, and that its pruners may end early.

For finding good arms, never for estimating effects: what is proposed depends on what was seen. So a
search ends with its best few arms, which are then trained with seeds that the search has not seen,
and only those enter conclusions.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from ablate.grid.search_space import Range, SearchAxis, is_active
from ablate.recipe.recipe import Level
from ablate.scheduling.limits import RETRIED, Limits
from ablate.scheduling.optuna_study import Described, direction_of
from ablate.scheduling.samplers import SearchPlan, pruner_of, sampler_of
from ablate.study.trial import Trial, is_better
from ablate.tracking.events import EpochEnded, TrialEnded, TrialStarted, TrialState
from ablate.tracking.journal import Attempt

Cell = dict[str, Level]
# Proposals in a row of trials that there are already, or that make no sense, after which a space
# counts as exhausted.
_SAME_AGAIN = 50


class SearchQueue:
    """See `TrialQueue`: the next trial is the sampler's proposal.

    It knows of all that has ended, in this call and before.
    """

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
            # Several samplers and pruners carry that label for years.
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._study = optuna.create_study(
                directions=[direction_of(name) for name in plan.objectives],
                sampler=sampler_of(plan, n_past=len(known)),
                pruner=pruner_of(plan),
            )
        # What was proposed, in its order.
        self._trials: dict[str, Trial] = {}
        self._asked: dict[str, optuna.Trial] = {}
        self._parameters: dict[str, Described] = {}
        self._n_attempts: dict[str, int] = {}
        self._n_retries: Counter[str] = Counter()
        self._left: deque[Trial] = deque()
        self._n_started = 0
        self._n_tries = _SAME_AGAIN
        if plan.search.sampler == "qmc":
            # Its points come in one order, those of earlier calls first.
            self._n_tries += len(known)
        self.is_exhausted = False
        """Whether the space has nothing more to propose."""
        self.n_reused = 0
        self._take_up_past(known, past)
        # Trials of earlier calls that this one leaves alone.
        self._n_held_back = 0
        if limits.only_failed:
            self._hold_back_all_but_failed(past)

    def _take_up_past(
        self, known: Mapping[str, Trial], past: Mapping[tuple[str, int], Attempt]
    ) -> None:
        tries: dict[str, list[Attempt]] = {}
        for (trial_id, _), attempt in past.items():
            tries.setdefault(trial_id, []).append(attempt)
        for trial_id, trial in known.items():
            self._take_up(trial, tries.get(trial_id, []))

    def _hold_back_all_but_failed(self, past: Mapping[tuple[str, int], Attempt]) -> None:
        last = {trial_id: attempt.ended for (trial_id, _), attempt in past.items()}
        failed = deque[Trial]()
        for trial in self._left:
            end = last.get(trial.trial_id)
            if end is not None and end.state is TrialState.FAILED:
                failed.append(trial)
        self._n_held_back = len(self._left) - len(failed)
        self._left = failed

    def take(self) -> tuple[Trial, int] | None:
        """The next trial and the number of its attempt.

        None where the search is over, or waits for nothing but ends.
        """
        trial = self._next()
        if trial is None:
            return None
        attempt = self._n_attempts.get(trial.trial_id, 0) + 1
        self._n_attempts[trial.trial_id] = attempt
        return trial, attempt

    def _next(self) -> Trial | None:
        if self._left and self._left[0].trial_id in self._n_retries:
            return self._left.popleft()  # retries count against no limit
        if self._is_spent() or self._n_started == self._limits.max_trials:
            return None
        trial = None
        if self._left:
            trial = self._left.popleft()
        elif not self._limits.only_failed:
            trial = self._propose()
        if trial is not None:
            self._n_started += 1
        return trial

    def _is_spent(self) -> bool:
        budget_s = self._limits.budget_s
        return budget_s is not None and time.monotonic() - self._start > budget_s

    def started(self, event: TrialStarted) -> None:
        """Nothing follows from a start."""

    def ended(self, event: TrialEnded, trial: Trial) -> bool:
        """Tell the sampler how a trial ended; return whether it gets another attempt now."""
        is_hung = (
            event.state is TrialState.FAILED
            and event.failure is not None
            and event.failure.kind in RETRIED
        )
        # First of all, not behind the others as in `Queue`: further proposals would lack its score.
        if is_hung and self._n_retries[event.trial_id] < self._limits.retries:
            self._n_retries[event.trial_id] += 1
            self._left.appendleft(trial)
            return True
        _tell(self._study, self._asked.pop(event.trial_id), event, objectives=self._plan.objectives)
        return False

    def is_hopeless(self, event: EpochEnded) -> bool:
        """Whether the pruner gives up on a trial after this epoch.

        Never where several objectives are weighed.
        """
        # Optuna's `should_prune` raises for such a study.
        if len(self._plan.objectives) > 1:
            return False
        asked = self._asked[event.trial_id]
        value = event.metrics.get(self._plan.select_by, math.nan)
        if math.isfinite(value):  # Optuna keeps no nan of an epoch
            asked.report(value, event.epoch)
        return asked.should_prune()

    @property
    def n_left(self) -> int:
        """Trials that the search may still propose, and those that wait for another attempt."""
        n_waiting = len(self._left) + self._n_held_back
        if self.is_exhausted:
            return n_waiting
        return n_waiting + max(0, self._plan.search.n_trials - len(self._trials))

    def front(self) -> list[Trial]:
        """The complete trials that no other beats in every objective.

        The best by the first objective first; of one objective, the best trial.
        """
        # A proposal that was refused has no trial_id; `best_trials` is Optuna's Pareto front.
        proposed = [trial for trial in self._study.best_trials if "trial_id" in trial.user_attrs]
        return self._trials_of(proposed)

    def best(self, n_arms: int) -> list[Trial]:
        """The trials of the best arms by `select_by`, the best first.

        Of those on the front, where several objectives are weighed.
        """
        if len(self._plan.objectives) > 1:
            return self.front()[:n_arms]
        complete = self._study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE,))
        proposed = [trial for trial in complete if "trial_id" in trial.user_attrs]
        return self._trials_of(proposed)[:n_arms]

    def _trials_of(self, frozen: Sequence[FrozenTrial]) -> list[Trial]:
        """Optuna's trials as ours, the best by the first objective first."""
        ordered = sorted(
            frozen,
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
                self._keep(trial, asked)
                return trial
            # The same again says nothing new. FAIL, because samplers learn from all other ends, and
            # a trial that is never told stays RUNNING and is counted by the constant liar.
            self._study.tell(asked, state=OptunaState.FAIL)
        self.is_exhausted = True
        return None

    def _keep(self, trial: Trial, asked: optuna.Trial) -> None:
        self._trials[trial.trial_id] = trial
        self._asked[trial.trial_id] = asked
        self._parameters[trial.trial_id] = dict(asked.params), dict(asked.distributions)

    def _cell(self, asked: optuna.Trial) -> Cell:
        cell: Cell = {}
        for axis, searched in self._plan.space.items():
            if is_active(searched, cell):
                cell[axis] = _suggest(asked, axis, searched)
        return cell

    def _take_up(self, trial: Trial, attempts: Sequence[Attempt]) -> None:
        """Take up what an earlier call proposed.

        What has ended is told to the sampler again. What was killed, failed or never started is
        proposed again, first of all.
        """
        self._keep(trial, self._ask_again(trial))
        numbers = [attempt.started.attempt for attempt in attempts]
        self._n_attempts[trial.trial_id] = max(numbers, default=0)
        for attempt in attempts:
            ended = attempt.ended
            if ended is not None and ended.state in (TrialState.COMPLETE, TrialState.PRUNED):
                # The pruner compares later trials with what this one reported.
                for event in attempt.epochs:
                    self.is_hopeless(event)  # for what it reports; its answer is of no use now
                self.n_reused += 1
                asked = self._asked.pop(trial.trial_id)
                _tell(self._study, asked, ended, objectives=self._plan.objectives)
                return
        self._left.append(trial)

    def _ask_again(self, trial: Trial) -> optuna.Trial:
        """A running Optuna trial with the parameters of a trial of an earlier call."""
        cell: Cell = {}
        for axis, searched in self._plan.space.items():
            if is_active(searched, cell):
                cell[axis] = getattr(trial.recipe, axis)
        # What is enqueued is what the next `ask` gives: each `suggest` then answers with its level.
        # `add_trial` would not do: it gives no trial that can report its epochs and be told again.
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
    """A level as Optuna's storage takes it: a tuple becomes JSON."""
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
