"""A search as a study of its own, whose trials are proposed on the way.

The journal, the executors and what follows the journal are those of any study.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import CheckFailed, StoreError
from ablate.scheduling.conductor import CHECKPOINT_EVERY_S, Conductor, MakeRequest, keeping
from ablate.scheduling.executors._base import Executor
from ablate.scheduling.interrupts import interruptible, uninterrupted
from ablate.scheduling.lease import lease
from ablate.scheduling.limits import Limits
from ablate.scheduling.optuna_study import OptunaStudy, own_study
from ablate.scheduling.search import Cell, SearchPlan, SearchQueue
from ablate.scheduling.study_folder import StudyFolder, StudyPlan
from ablate.scheduling.summary import StudySummary
from ablate.study.record import StudyRecord
from ablate.study.trial import Trial
from ablate.tracking.events import Event
from ablate.tracking.publisher import Store


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found."""

    best: tuple[Trial, ...]
    """The best trials with their pilot seed, the best first: their arms go into the confirmation
    stage, their scores into no conclusion."""
    front: tuple[Trial, ...]
    """The trials that no other beats in every objective."""
    summary: StudySummary
    """With trials left while the search is not over."""


def run_search(
    search: SearchPlan,
    *,
    record: StudyRecord,
    make_trial: Callable[[Cell], Trial | None],
    folder: Path,
    executor: Executor,
    store: Store | None,
    make_request: MakeRequest,
    on_event: Callable[[Event], None],
    tags: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    optuna_url: str | None = None,
) -> Found:
    """Run a search to its end, from where earlier calls left it, and return its best trials.

    `record` has no arms yet; it gets those that are proposed. Raises what `run_study` raises, as it
    does.
    """
    places = StudyFolder(folder)
    with interruptible(), lease(folder):
        conductor = Conductor(
            _grown(places, StudyPlan(record, (), tags or {})),
            places,
            make_request=keeping(make_request, folder, CHECKPOINT_EVERY_S),
            listener=on_event,
        )
        queue = SearchQueue(
            search,
            conductor.past,
            known=conductor.trials,
            make_trial=make_trial,
            limits=limits or Limits(),
        )
        queue.is_exhausted = places.is_exhausted(search.search.n_trials)
        with uninterrupted():
            if optuna_url is None:
                optuna = own_study(
                    folder,
                    record,
                    conductor.trials,
                    describe=queue.described,
                    objectives=search.objectives,
                )
            else:
                optuna = OptunaStudy(
                    record,
                    conductor.trials,
                    url=optuna_url,
                    describe=queue.described,
                    objectives=search.objectives,
                )
        summary = conductor.conduct(queue, executor, store=store, optuna=optuna)
        if queue.is_exhausted:
            places.note_exhausted(search.search.n_trials)
        return Found(tuple(queue.best(search.search.confirm)), tuple(queue.front()), summary)


def confirmation(best: Sequence[Trial], *, seeds: Sequence[int]) -> list[Trial]:
    """The trials of the confirmation stage: every arm of `best` with every seed, seed by seed.

    Raises CheckFailed for a seed that the search used: an arm that was chosen because of a score
    may not bring that score along.
    """
    seen = sorted({trial.seed for trial in best} & set(seeds))
    if seen:
        raise CheckFailed(
            f"the confirmation stage must have seeds of its own, {seen} chose the arms."
        )
    return [trial.model_copy(update={"seed": seed}) for seed in seeds for trial in best]


def _grown(folder: StudyFolder, plan: StudyPlan) -> StudyPlan:
    """The plan with what an earlier call proposed."""
    try:
        former = folder.read_plan()
    except StoreError:
        return plan
    for trial in former.trials:
        plan = plan.with_trial(trial)
    return plan
