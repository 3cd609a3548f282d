"""What follows a study in the same command: fresh seeds that confirm its choice, arms around it.

Both are chosen when every planned trial has ended, and stand in the study's record from before the
first of their trials begins: a call that is killed goes on from there. Who is confirmed is chosen
once, so seeds that are added to the study later change nothing of it. Arms around the best one are
looked for in every call, since the report speaks of the best arm that it has.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ablate.errors import StoreError
from ablate.grid.around import around_trials, still_asked, with_neighbours
from ablate.grid.fresh_seeds import check_fresh, first_fresh_seed, fresh_trials
from ablate.reporting.evidence.frames import champion, trial_frame
from ablate.scheduling.limits import Limits
from ablate.scheduling.study_folder import StudyFolder
from ablate.scheduling.summary import StudySummary
from ablate.study.confirmation import Confirmation
from ablate.study.record import StudyRecord
from ablate.study.trial import trials_by_id
from ablate.tracking.records import PublishedStudy
from ablate.workflow.context import StudyContext
from ablate.workflow.prepare.own_splits import with_own_splits
from ablate.workflow.prepare.prepared import prepared_again
from ablate.workflow.run.watcher import ignore_progress
from ablate.workflow.stores import read_whole_study

if TYPE_CHECKING:
    from ablate.reporting.decision import Decision


def resumed(context: StudyContext) -> StudyContext:
    """The study with what earlier calls chose, so that this call goes on with it.

    Raises SpecError where a seed of the grid is one of those that confirm, RequestError where an
    added arm is not right any more, StoreError.
    """
    former = _former_record(context)
    if former is None:
        return context
    record = context.record
    around = record.around
    if around is not None and former.around is not None:
        arms = still_asked(context.grid, former.around.arms)
        around = former.around.model_copy(update={"arms": arms})
    update = {"confirmation": former.confirmation, "around": around}
    return _with_record(context, record.model_copy(update=update))


def second_stage(
    context: StudyContext, summary: StudySummary, *, limits: Limits
) -> StudyContext | None:
    """The study with the trials that follow it; None where nothing is to be chosen now.

    `summary` is of the trials so far, `limits` what they left. Raises RequestError, StoreError.
    """
    record = context.record
    is_to_confirm = record.n_confirm and not record.fresh_seeds
    if not (is_to_confirm or record.around):
        return None
    # A choice by half of the trials would be another one, and it is made once.
    if summary.n_left or summary.unpublished.why:
        return None
    study = read_whole_study(context.folders, context.store, study_id=record.study_id)
    chosen = _with_neighbours(context, study)
    if is_to_confirm:
        # matplotlib comes with them, which nothing before the first trial needs.
        from ablate.reporting.compute import compute_results
        from ablate.reporting.decision import decide

        decision = decide(compute_results(study, context.store.read_predictions))
        if decision is not None and decision.baseline is not None:
            choice = _choice(context, decision)
            chosen = chosen.model_copy(update={"confirmation": choice})
    # As it was: the baseline alone is confirmed by nothing, and no neighbour is missing.
    if chosen == record:
        return None
    return replace(_with_record(context, chosen), limits=limits)


def _with_neighbours(context: StudyContext, study: PublishedStudy) -> StudyRecord:
    """The record with the arms around the best one, by val, of the design's arms alone."""
    record = context.record
    best = champion(study.record, trial_frame(study))
    if record.around is None or best is None:
        return record
    return with_neighbours(context.grid, record, best, data=context.resolved.data)


def _former_record(context: StudyContext) -> StudyRecord | None:
    """What was chosen here, or in another home that shares the tracking store."""
    record = _record_here(context)
    if record is not None and (record.confirmation is not None or _has_added(record)):
        return record
    # The store is asked only where the grid has a second stage: most grids have none.
    if not context.record.n_confirm and context.record.around is None:
        return record
    return context.store.read_record(context.record.study_id) or record


def _has_added(record: StudyRecord) -> bool:
    return record.around is not None and bool(record.around.champion_arm_id)


def _record_here(context: StudyContext) -> StudyRecord | None:
    folder = StudyFolder(context.prepared.folder)
    try:
        return folder.read_record()
    except StoreError:  # it was never run here, or is damaged: the conductor says so
        return None


def _choice(context: StudyContext, decision: Decision) -> Confirmation:
    record = context.record
    assert decision.baseline is not None
    arms = [decision.use.arm.arm_id, decision.baseline.arm.arm_id]
    cheapest = None
    if decision.cheapest is not None and decision.cheapest.arm.arm_id not in arms:
        cheapest = decision.cheapest.arm.arm_id
    used = []
    if record.confirmation is not None and record.confirmation.has_pairs:
        used.append(record.confirmation.first_seed)
    return Confirmation(
        champion_arm_id=arms[0],
        baseline_arm_id=arms[1],
        cheapest_arm_id=cheapest,
        chosen_with=record.seeds,
        first_seed=first_fresh_seed(context.grid, record.seeds, used=used),
    )


def _with_record(context: StudyContext, record: StudyRecord) -> StudyContext:
    """The study with a record that has chosen, and what follows from it at the end of its trials.

    Added arms come first: more of what is asked is answered where a call is cut short.
    """
    check_fresh(record)
    prepared = context.prepared
    resolved = prepared.resolved
    grid = resolved.grid
    data = resolved.data
    fingerprint = resolved.data_set.facts.fingerprint
    following = around_trials(grid, record, data=data, fingerprint=fingerprint)
    following += fresh_trials(grid, record, data=data, fingerprint=fingerprint)
    own = with_own_splits(following, record, resolved.data_set)
    # Some of those that follow may be trials of the study already.
    trials = trials_by_id((*resolved.trials, *own)).values()
    grown = replace(resolved, record=record, trials=tuple(trials))
    if record.added_arms == resolved.record.added_arms:
        return replace(context, prepared=replace(prepared, resolved=grown))
    checked = prepared_again(
        prepared,
        grown,
        context.folders,
        on_progress=ignore_progress,
        fork_server=context.fork_server,
    )
    return replace(context, prepared=checked)
