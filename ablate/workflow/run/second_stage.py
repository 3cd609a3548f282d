"""What follows a study in the same command: fresh seeds that confirm its choice.

The choice is made once, when every planned trial has ended, and stands in the study's record from
before the first fresh trial begins. A call that is killed goes on from there, and seeds that are
added to the study later change nothing of who is confirmed.
"""

from __future__ import annotations

from dataclasses import replace

from ablate.errors import StoreError
from ablate.grid.fresh_seeds import check_fresh, first_fresh_seed, fresh_trials
from ablate.reporting.compute import compute_results
from ablate.reporting.decision import Decision, decide
from ablate.scheduling.limits import Limits
from ablate.scheduling.study_folder import StudyFolder
from ablate.scheduling.summary import StudySummary
from ablate.study.confirmation import Confirmation
from ablate.study.record import StudyRecord
from ablate.workflow.context import StudyContext
from ablate.workflow.stores import read_whole_study


def resumed(context: StudyContext) -> StudyContext:
    """The study with what an earlier call chose to confirm, so that this call goes on with it.

    Raises SpecError where a seed of the grid is one of those that confirm, StoreError.
    """
    former = _former_choice(context)
    if former is None:
        return context
    return _confirming(context, former)


def second_stage(
    context: StudyContext, summary: StudySummary, *, limits: Limits
) -> StudyContext | None:
    """The study with the fresh trials that follow it; None where no choice is to be made now.

    `summary` is of the study's own trials, `limits` what it left. Raises StoreError.
    """
    record = context.record
    if not record.n_confirm or record.fresh_seeds:
        return None
    # A choice by half of the trials would be another one, and it is made once.
    if summary.n_left or summary.unpublished.why:
        return None
    study = read_whole_study(context.folders, context.store, study_id=record.study_id)
    decision = decide(compute_results(study, context.store.read_predictions))
    if decision is None or decision.baseline is None:
        return None
    choice = _choice(context, decision)
    if choice == record.confirmation:  # the baseline alone, again: nothing to compare
        return None
    return replace(_confirming(context, choice), limits=limits)


def _former_choice(context: StudyContext) -> Confirmation | None:
    """What was chosen here, or in another home that shares the tracking store."""
    record = _record_here(context)
    if record is not None and record.confirmation is not None:
        return record.confirmation
    # The store is asked only where the grid confirms something: most grids do not.
    if not context.record.n_confirm:
        return None
    published = context.store.read_record(context.record.study_id)
    return None if published is None else published.confirmation


def _record_here(context: StudyContext) -> StudyRecord | None:
    folder = StudyFolder(context.prepared.folder)
    try:
        return folder.read_plan().record
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


def _confirming(context: StudyContext, confirmation: Confirmation) -> StudyContext:
    """The study with a choice in its record and the fresh trials at the end of its trials."""
    prepared = context.prepared
    resolved = prepared.resolved
    record = resolved.record.model_copy(update={"confirmation": confirmation})
    check_fresh(record)
    fresh = fresh_trials(
        resolved.grid,
        record,
        data=resolved.data,
        fingerprint=resolved.data_set.facts.fingerprint,
    )
    known = {trial.trial_id for trial in resolved.trials}
    added = [trial for trial in fresh if trial.trial_id not in known]
    confirming = replace(resolved, record=record, trials=(*resolved.trials, *added))
    return replace(context, prepared=replace(prepared, resolved=confirming))
