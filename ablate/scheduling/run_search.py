"""A search as a study of its own: same journal, executors and followers.

Its trials are proposed on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ablate.errors import CheckFailed, StoreError
from ablate.scheduling.conductor import Conductor
from ablate.scheduling.interrupts import interruptible, uninterrupted
from ablate.scheduling.lease import lease
from ablate.scheduling.optuna_study import OptunaStudy, study_in_folder
from ablate.scheduling.proposals import MakeTrial, Proposals
from ablate.scheduling.samplers import SearchPlan
from ablate.scheduling.search import SearchQueue
from ablate.scheduling.session import Session
from ablate.scheduling.study_folder import StudyFolder, StudyPlan
from ablate.scheduling.summary import StudySummary
from ablate.study.trial import Trial


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search has chosen."""

    best: tuple[Trial, ...]
    """The best trials with their pilot seed, the best first.

    Their arms go into the confirmation stage, their scores into no conclusion.
    """
    front: tuple[Trial, ...]
    """The trials that no other beats in every objective."""
    summary: StudySummary
    """With trials left while the search is not over."""


def run_search(
    search: SearchPlan, plan: StudyPlan, session: Session, *, make_trial: MakeTrial
) -> SearchResult:
    """Run a search to its end, from where earlier calls left it, and return its best trials.

    `plan` has no arms and no trials yet; it gets those that are proposed. Raises what `run_study`
    raises, as it does.
    """
    folder = StudyFolder(session.folder)
    n_asked = search.search.n_trials
    with interruptible(), lease(session.folder):
        # It takes past attempts up with their scores, which the sampler is told again.
        conductor = Conductor(_grown(folder, plan), session, needs_scores=True)
        known = conductor.trials
        proposals = Proposals(search, make_trial, n_past=len(known))
        queue = SearchQueue(proposals, conductor.past, known=known, limits=session.limits)
        # As an earlier call found it: to find it again costs dozens of proposals.
        proposals.is_exhausted = folder.is_exhausted(n_asked)
        # Optuna makes its tables here: half of them would be a file that it never opens again.
        with uninterrupted():
            optuna = _optuna(plan, conductor, proposals, session=session)
        summary = conductor.conduct(queue, optuna)
        # Only where it came to its end: an interrupted call has raised.
        if proposals.is_exhausted:
            folder.note_exhausted(n_asked)
        best = proposals.best(search.search.confirm)
        return SearchResult(tuple(best), tuple(proposals.front()), summary)


def _optuna(
    plan: StudyPlan, conductor: Conductor, proposals: Proposals, *, session: Session
) -> OptunaStudy:
    if session.optuna_url is None:
        return study_in_folder(
            session.folder,
            plan.record,
            conductor.trials,
            describe=proposals.described,
            objectives=proposals.plan.objectives,
        )
    return OptunaStudy(
        plan.record,
        conductor.trials,
        url=session.optuna_url,
        describe=proposals.described,
        objectives=proposals.plan.objectives,
    )


def confirmation(best: Sequence[Trial], *, seeds: Sequence[int]) -> list[Trial]:
    """The trials of the confirmation stage, seed by seed: every arm of `best` with every seed.

    Raises CheckFailed for a seed that the search used: an arm that was chosen because of a score
    may not bring that score along.
    """
    searched = {trial.seed for trial in best}
    seen = sorted(searched & set(seeds))
    if seen:
        raise CheckFailed(
            f"the confirmation stage must have seeds of its own, {seen} chose the arms."
        )
    trials = []
    for seed in seeds:
        for trial in best:
            trials.append(trial.model_copy(update={"seed": seed}))
    return trials


def _grown(folder: StudyFolder, plan: StudyPlan) -> StudyPlan:
    """The plan with what an earlier call proposed."""
    try:
        former = folder.read_plan()
    except StoreError:
        return plan
    # The record is this call's, the trials are those of all calls: a grid can ask for more of them.
    for trial in former.trials:
        plan = plan.with_trial(trial)
    return plan
