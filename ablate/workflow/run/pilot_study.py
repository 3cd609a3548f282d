"""Studies in two stages under one command: a pilot that chooses, and the study of its choice.

The pilot is a search, or a tuning of every arm. It is a study of its own, in a folder of its own,
so it resumes as any other; the study after it begins once the pilot is over.
"""

from __future__ import annotations

import math
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ablate.grid.expand import study_trials
from ablate.grid.pilot_arms import Candidate, searched_name, searched_trial, space_words, tuned_arms
from ablate.grid.search_space import Cell, Range
from ablate.scheduling.adopt import adopt
from ablate.scheduling.conductor import run_study
from ablate.scheduling.limits import Limits
from ablate.scheduling.pilot_summary import pilot_trials
from ablate.scheduling.run_search import SearchResult, confirmation, run_search
from ablate.scheduling.samplers import SearchPlan
from ablate.scheduling.session import Session
from ablate.scheduling.study_folder import StudyFolder, StudyPlan
from ablate.scheduling.summary import StudySummary
from ablate.study.arm_record import arms_by_id
from ablate.study.choosing import best_of
from ablate.study.pilot_record import Pilot, PilotTrial
from ablate.study.record import ArmRecord
from ablate.study.trial import Trial, trials_by_id
from ablate.workflow.context import StudyContext
from ablate.workflow.prepare.current_provenance import provenance_tags
from ablate.workflow.prepare.machines import executor_for
from ablate.workflow.prepare.prepared import Prepared
from ablate.workflow.prepare.resolved import PilotPlan, Resolved
from ablate.workflow.prepare.same_weights import check_weights_of_past
from ablate.workflow.prepare.study_folders import pilot_folder_of
from ablate.workflow.run.run_prepared import count_ended
from ablate.workflow.run.watcher import OnEvent, StageView

Names = MutableMapping[str, str]
"""trial_id -> what to call the trial; grows while a search proposes."""


@dataclass(frozen=True)
class PilotEnd:
    """What came of the pilot in this call."""

    summary: StudySummary
    prepared: Prepared | None
    """The study that follows, with its arms.

    None while the pilot is not over, or where it chose nothing.
    """
    limits: Limits
    """What is left of this call's limits."""


def pilot_folder(prepared: Prepared) -> Path:
    """Where the pilot keeps its journal: beside the study's folder."""
    return pilot_folder_of(prepared.folder, _plan(prepared).record)


def adopt_pilot(context: StudyContext) -> int:
    """Take over trials of the pilot that MLflow holds and this home's journal does not.

    Returns how many there were. Raises WeightsError, StoreError.
    """
    prepared = context.prepared
    plan = _plan(prepared)
    trials = plan.tuning_trials
    trial_ids = None
    # A search's trials are those that were proposed: nobody can name them beforehand.
    if plan.tuning is not None:
        trial_ids = list(trials_by_id(trials))
    folder = pilot_folder(prepared)
    n_adopted = adopt(
        folder, context.store, plan.record, trial_ids=trial_ids, tags=provenance_tags()
    )
    check_weights_of_past(
        [folder], trials, prepared.weights, image_size=prepared.resolved.data.image_size
    )
    return n_adopted


def n_asked(prepared: Prepared) -> int:
    """Trials that the pilot is asked for."""
    stage = _plan(prepared).record.stage
    assert stage is not None
    return stage.n_trials


def pilot_view(context: StudyContext, names: Names) -> StageView:
    """What a display must know of the pilot's trials."""
    return StageView(
        names,
        n_trials=n_asked(context.prepared),
        select_by=context.grid.select_by,
        n_before=count_ended(pilot_folder(context.prepared)),
        is_inline=context.machines.kind == "inline",
    )


def run_pilot(context: StudyContext, on_event: OnEvent, *, names: Names) -> PilotEnd:
    """Run what is missing of the pilot, and choose.

    `names` gets what each trial is called, for whoever listens to `on_event`.
    """
    # Not time.time: a budget must not change with the clock.
    began = time.monotonic()
    prepared = context.prepared
    folder = pilot_folder(prepared)
    with executor_for(
        prepared,
        context.machines,
        folder=folder,
        n_trials=n_asked(prepared),
        fork_server=context.fork_server,
    ) as (there, executor):
        session = context.session(folder, executor, there.request, on_event)
        if _plan(prepared).tuning is None:
            summary, chosen = _search(prepared, session, names)
        else:
            summary, chosen = _tune(prepared, session, names)
    # The study that follows has what the pilot left, so a budget holds for the command as a whole.
    left = context.limits.after(n_trials=summary.n_started, seconds=time.monotonic() - began)
    return PilotEnd(summary, chosen, left)


def _search(
    prepared: Prepared, session: Session, names: Names
) -> tuple[StudySummary, Prepared | None]:
    """Search, and return the study of what was found; None while the search is not over."""
    # No trials in the plan: the sampler proposes them one after the other.
    result = run_search(
        search_plan(prepared.resolved),
        StudyPlan(_plan(prepared).record, (), provenance_tags()),
        session,
        make_trial=partial(_make_trial, prepared.resolved, names),
    )
    if result.summary.n_left:
        return result.summary, None
    return result.summary, _confirmed(prepared, result)


def _tune(
    prepared: Prepared, session: Session, names: Names
) -> tuple[StudySummary, Prepared | None]:
    """Tune every arm, and return the study of tuned arms; None while the tuning is not over."""
    plan = _plan(prepared)
    assert plan.tuning is not None
    # In one order: `tuning_arms` makes an arm of each candidate.
    for candidate, arm in zip(plan.tuning, plan.record.arms, strict=True):
        names[candidate.trial.trial_id] = arm.name
    summary = run_study(StudyPlan(plan.record, plan.tuning_trials, provenance_tags()), session)
    if summary.n_left:
        return summary, None
    return summary, _tuned(prepared, plan.tuning)


def _make_trial(resolved: Resolved, names: Names, cell: Cell) -> Trial | None:
    fingerprint = resolved.data_set.facts.fingerprint
    trial = searched_trial(resolved.grid, cell, data=resolved.data, fingerprint=fingerprint)
    # None: the grid excludes the combination, or it contradicts itself.
    if trial is not None:
        names[trial.trial_id] = searched_name(trial.recipe, tuple(resolved.grid.axes))
    return trial


def search_plan(resolved: Resolved) -> SearchPlan:
    """What the grid asks its sampler and its pruner for."""
    grid = resolved.grid
    assert grid.search is not None
    return SearchPlan(
        grid.search,
        grid.space,
        select_by=grid.select_by,
        n_epochs=_most_epochs(resolved),
        seed=grid.pilot_seed,
    )


def _most_epochs(resolved: Resolved) -> int:
    """The most epochs that a trial of the search may have."""
    epochs = resolved.grid.space.get("epochs")
    if epochs is None:
        return resolved.grid.base.epochs
    if isinstance(epochs, Range):
        return int(epochs.high)
    return max(int(level) for level in epochs.levels)


def _confirmed(prepared: Prepared, result: SearchResult) -> Prepared | None:
    """The confirmation: the arms that the search chose, with every seed of the grid."""
    if not result.best:
        return None
    resolved = prepared.resolved
    folder = StudyFolder(pilot_folder(prepared))
    arms = arms_by_id(folder.read_record().arms)
    search = search_plan(resolved)

    def describe(trial: Trial) -> tuple[str, dict[str, Any]]:
        arm = arms[trial.arm_id]
        return arm.name, dict(arm.cells[0])

    trials = pilot_trials(folder, describe, objectives=search.objectives)
    pilot = _pilot(resolved, trials, objectives=search.objectives).model_copy(
        update={
            "sampler": search.search.sampler,
            "pruner": search.search.pruner,
            "n_confirm": search.search.confirm,
            "front": tuple(trials_by_id(result.front)),
            "chosen": tuple(trials_by_id(result.best)),
        }
    )
    chosen = tuple(arms[trial.arm_id] for trial in result.best)
    # Seeds that the search has not seen: its own scores are chosen ones, and too good.
    confirming = confirmation(result.best, seeds=resolved.record.seeds)
    return _followed_by(prepared, chosen, pilot=pilot, trials=confirming)


def _tuned(prepared: Prepared, tuning: tuple[Candidate, ...]) -> Prepared | None:
    """Every arm with the combination that was best on val, the first of equal ones."""
    resolved = prepared.resolved
    select_by = resolved.grid.select_by
    trials = _tuning_trials(prepared, tuning)
    # A trial that failed has no score; best_of passes over NaN.
    scores = {}
    for trial in trials:
        if select_by in trial.scores:
            scores[trial.trial_id] = trial.scores[select_by]
    best: dict[str, Candidate | None] = {}
    n_tried: dict[str, int] = {}
    for arm in resolved.expansion.arms:
        tried = [candidate for candidate in tuning if candidate.of_arm == arm.arm_id]
        n_tried[arm.arm_id] = len(tried)
        best[arm.arm_id] = best_of(
            select_by, tried, lambda candidate: scores.get(candidate.trial.trial_id, math.nan)
        )
    arms, lost = tuned_arms(resolved.expansion, best, n_tried)
    if not arms:
        return None
    # A tuned arm is another arm than the one it came from, so the baseline's id changes with it.
    baseline = best.get(resolved.expansion.baseline_arm_id)
    baseline_arm_id = ""
    if baseline is not None:
        baseline_arm_id = baseline.trial.arm_id
    expansion = replace(
        resolved.expansion,
        arms=arms,
        excluded=(*resolved.expansion.excluded, *lost),
        baseline_arm_id=baseline_arm_id,
    )
    update = {"excluded": expansion.excluded, "baseline_arm_id": expansion.baseline_arm_id}
    tuned = replace(resolved, expansion=expansion, record=resolved.record.model_copy(update=update))
    chosen = []
    for winner in best.values():
        if winner is not None:
            chosen.append(winner.trial.trial_id)
    pilot = _pilot(resolved, trials, objectives=(select_by,))
    return _followed_by(
        replace(prepared, resolved=tuned),
        arms,
        pilot=pilot.model_copy(update={"chosen": tuple(chosen)}),
        trials=_trials_of(tuned),
    )


def _tuning_trials(prepared: Prepared, tuning: tuple[Candidate, ...]) -> tuple[PilotTrial, ...]:
    """The trials of a tuning, each with the name of the arm that it is a candidate for."""
    arms = arms_by_id(prepared.resolved.expansion.arms)
    candidates = {candidate.trial.trial_id: candidate for candidate in tuning}

    def describe(trial: Trial) -> tuple[str, dict[str, Any]]:
        candidate = candidates[trial.trial_id]
        return arms[candidate.of_arm].name, dict(candidate.tuned)

    folder = StudyFolder(pilot_folder(prepared))
    return pilot_trials(folder, describe, objectives=(prepared.resolved.grid.select_by,))


def _trials_of(resolved: Resolved) -> list[Trial]:
    return study_trials(
        resolved.grid,
        resolved.expansion,
        data=resolved.data,
        fingerprint=resolved.data_set.facts.fingerprint,
        seeds=resolved.record.seeds,
    )


def _pilot(
    resolved: Resolved, trials: tuple[PilotTrial, ...], *, objectives: tuple[str, ...]
) -> Pilot:
    assert resolved.pilot is not None
    stage = resolved.pilot.record.stage
    assert stage is not None
    return Pilot(
        kind=stage.kind,
        study_id=resolved.pilot.record.study_id,
        seed=resolved.grid.pilot_seed,
        n_asked=stage.n_trials,
        objectives=objectives,
        space=space_words(resolved.grid),
        trials=trials,
    )


def _followed_by(
    prepared: Prepared, arms: tuple[ArmRecord, ...], *, pilot: Pilot, trials: list[Trial]
) -> Prepared:
    """The study after a pilot."""
    resolved = prepared.resolved
    # The same study_id: its journal and its runs are found again by whoever goes on.
    record = resolved.record.model_copy(update={"arms": arms, "pilot": pilot})
    return replace(prepared, resolved=replace(resolved, record=record, trials=tuple(trials)))


def _plan(prepared: Prepared) -> PilotPlan:
    assert prepared.resolved.pilot is not None
    return prepared.resolved.pilot
