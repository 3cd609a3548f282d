"""What a search has proposed: an Optuna study in memory, with ablate's trials beside Optuna's.

What became of them, their attempts and limits, is `SearchQueue`'s.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from ablate.grid.search_space import Range, SearchAxis, is_active
from ablate.recipe.recipe import Level
from ablate.scheduling.optuna_study import Described, direction_of
from ablate.scheduling.samplers import SearchPlan, pruner_of, sampler_of
from ablate.study.choosing import is_better, scores_in
from ablate.study.trial import Trial
from ablate.tracking.events import EpochEnded, TrialEnded, TrialState

Cell = dict[str, Level]
MakeTrial = Callable[[Cell], Trial | None]
"""A cell of the space -> its trial with the pilot seed, or None for a cell that makes no sense."""
# Proposals in a row of trials that there are already, or that make no sense, after which a space
# counts as exhausted.
_SAME_AGAIN = 50


class Proposals:
    """The trials that a sampler proposes, and what it is told of their ends."""

    def __init__(self, plan: SearchPlan, make_trial: MakeTrial, *, n_past: int) -> None:
        """`n_past`: trials that earlier calls proposed; `propose_again` takes each of them up."""
        self.plan = plan
        self._make_trial = make_trial
        with warnings.catch_warnings():
            # Several samplers and pruners carry that label for years.
            warnings.simplefilter("ignore", ExperimentalWarning)
            # In memory: the journal is the truth, and Optuna's storage follows it like MLflow.
            self._study = optuna.create_study(
                directions=list(map(direction_of, plan.objectives)),
                sampler=sampler_of(plan, n_past=n_past),
                pruner=pruner_of(plan),
            )
        # What was proposed, in its order.
        self._trials: dict[str, Trial] = {}
        # Those whose end the sampler does not know yet.
        self._asked: dict[str, optuna.Trial] = {}
        # trial_id -> its parameters and their distributions, for Optuna's storage.
        self._parameters: dict[str, Described] = {}
        self._n_tries = _SAME_AGAIN
        if plan.search.sampler == "qmc":
            # Its points come in one order, those of earlier calls first.
            self._n_tries += n_past
        self.is_exhausted = False
        """Whether the space has nothing more to propose."""

    @property
    def n_left(self) -> int:
        """Trials that may still be proposed."""
        if self.is_exhausted:
            return 0
        return max(0, self.plan.search.n_trials - len(self._trials))

    def propose(self) -> Trial | None:
        """The sampler's next trial; None where all are proposed, or the space is exhausted."""
        if self.n_left == 0:
            return None
        for _ in range(self._n_tries):
            asked = self._study.ask()
            trial = self._make_trial(self._cell(asked))
            if trial is not None and trial.trial_id not in self._trials:
                self._keep(trial, asked)
                return trial
            # The same again says nothing new. FAIL, because samplers learn from all other ends, and
            # a trial that is never told stays RUNNING and is counted by the constant liar.
            self._study.tell(asked, state=OptunaState.FAIL)
        self.is_exhausted = True
        return None

    def propose_again(self, trial: Trial) -> None:
        """Take up what an earlier call proposed, as a trial that runs."""
        cell: Cell = {}
        for axis, searched in self.plan.space.items():
            if is_active(searched, cell):
                cell[axis] = getattr(trial.recipe, axis)
        # What is enqueued is what the next `ask` gives: each `suggest` then answers with its level.
        # `add_trial` would not do: it gives no trial that can report its epochs and be told again.
        words = {axis: _word(level) for axis, level in cell.items()}
        self._study.enqueue_trial(words)
        asked = self._study.ask()
        self._cell(asked)
        self._keep(trial, asked)

    def described(self, trial: Trial) -> Described:
        """A proposed trial's parameters and their ranges, for Optuna's storage."""
        return self._parameters[trial.trial_id]

    def is_hopeless(self, event: EpochEnded) -> bool:
        """Tell the pruner of an epoch; return whether it gives up on the trial.

        Never where several objectives are weighed.
        """
        # Optuna's `should_prune` raises for such a study.
        if len(self.plan.objectives) > 1:
            return False
        asked = self._asked[event.trial_id]
        value = event.metrics.get(self.plan.select_by, math.nan)
        if math.isfinite(value):  # Optuna keeps no nan of an epoch
            asked.report(value, event.epoch)
        return asked.should_prune()

    def ended(self, event: TrialEnded) -> None:
        """Tell the sampler how a trial ended."""
        # Once: Optuna refuses to be told twice.
        asked = self._asked.pop(event.trial_id)
        metrics: Mapping[str, float] = {}
        if event.outcome is not None:
            metrics = event.outcome.metrics
        values = scores_in(metrics, self.plan.objectives)
        if event.state is TrialState.COMPLETE and all(map(math.isfinite, values)):
            self._study.tell(asked, values)
        elif event.state is TrialState.PRUNED:
            self._study.tell(asked, state=OptunaState.PRUNED)
        else:
            self._study.tell(asked, state=OptunaState.FAIL)

    def front(self) -> list[Trial]:
        """The complete trials that no other beats in every objective.

        The best by the first objective first; of one objective, the best trial.
        """
        # `best_trials` is Optuna's Pareto front.
        return self._trials_of(self._study.best_trials)

    def best(self, n_arms: int) -> list[Trial]:
        """The trials of the best arms by `select_by`, the best first.

        Of those on the front, where several objectives are weighed.
        """
        if len(self.plan.objectives) > 1:
            return self.front()[:n_arms]
        complete = self._study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE,))
        return self._trials_of(complete)[:n_arms]

    def _trials_of(self, frozen: Sequence[FrozenTrial]) -> list[Trial]:
        """Optuna's trials as ours, the best by the first objective first."""
        # A proposal that was refused has no trial_id.
        proposed = [trial for trial in frozen if "trial_id" in trial.user_attrs]
        ordered = sorted(
            proposed,
            key=lambda trial: trial.values[0],
            # Descending where more is better.
            reverse=is_better(self.plan.select_by, 1.0, than=0.0),
        )
        ours = []
        for trial in ordered:
            ours.append(self._trials[trial.user_attrs["trial_id"]])
        return ours

    def _keep(self, trial: Trial, asked: optuna.Trial) -> None:
        asked.set_user_attr("trial_id", trial.trial_id)
        self._trials[trial.trial_id] = trial
        self._asked[trial.trial_id] = asked
        self._parameters[trial.trial_id] = dict(asked.params), dict(asked.distributions)

    def _cell(self, asked: optuna.Trial) -> Cell:
        cell: Cell = {}
        for axis, searched in self.plan.space.items():
            if is_active(searched, cell):
                cell[axis] = _suggest(asked, axis, searched)
        return cell


def _suggest(asked: optuna.Trial, axis: str, searched: SearchAxis) -> Level:
    if isinstance(searched, Range):
        # `space_of` has put the bounds into the type of their field.
        if isinstance(searched.low, int) and isinstance(searched.high, int):
            return asked.suggest_int(axis, searched.low, searched.high, log=searched.log)
        return asked.suggest_float(axis, searched.low, searched.high, log=searched.log)
    words = list(map(_word, searched.levels))
    level: Level = searched.levels[words.index(asked.suggest_categorical(axis, words))]
    return level


def _word(level: Level) -> bool | int | float | str | None:
    """A level as Optuna's storage takes it: a tuple becomes JSON."""
    if isinstance(level, tuple):
        return json.dumps(level)
    return level
