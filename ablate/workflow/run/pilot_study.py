"""Studies in two stages under one command: a pilot (a search, or a tuning of every arm) that chooses, and the study that is trained with its choice.

The pilot is a study of its own, in a folder of its own, so it resumes as any other; the study after it begins once the pilot is over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, MutableMapping
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
from ablate.scheduling.run_search import Found, confirmation, run_search
from ablate.scheduling.search import SearchPlan
from ablate.scheduling.study_folder import StudyFolder
from ablate.scheduling.summary import StudySummary
from ablate.study.pilot import Pilot, PilotTrial
from ablate.study.record import ArmRecord
from ablate.study.trial import Trial, best_of
from ablate.tracking.events import Event
from ablate.tracking.mlflow_store import MlflowStore
from ablate.workflow.prepare.machines import Machines, executor_for
from ablate.workflow.prepare.prepared import PilotPlan, Prepared, Resolved, pilot_folder_of
from ablate.workflow.prepare.provenance import provenance_tags
from ablate.workflow.prepare.same_weights import check_weights_of_past


@dataclass(frozen=True)
class PilotEnd:
    """What came of the pilot in this call."""

    summary: StudySummary
    prepared: Prepared | None
    """The study that follows, with its arms; None while the pilot is not over, or where it found nothing."""
    limits: Limits
    """What is left of this call's limits."""


def pilot_folder(prepared: Prepared) -> Path:
    """Where the pilot keeps its journal: beside the study's folder."""
    return pilot_folder_of(prepared.folder, _plan(prepared).record)


def adopt_pilot(prepared: Prepared, store: MlflowStore) -> int:
    """Take over trials of the pilot that MLflow holds and this home's journal does not; return how many. Raises WeightsError, StoreError."""
    plan = _plan(prepared)
    trials = [one.trial for one in plan.tuning or ()]
    trial_ids = None if plan.tuning is None else [trial.trial_id for trial in trials]
    folder = pilot_folder(prepared)
    n_adopted = adopt(folder, store, plan.record, trial_ids=trial_ids, tags=provenance_tags())
    check_weights_of_past(
        [folder], trials, prepared.weights, image_size=prepared.resolved.data.image_size
    )
    return n_adopted


def n_asked(prepared: Prepared) -> int:
    """Trials that the pilot is asked for."""
    stage = _plan(prepared).record.stage
    assert stage is not None
    return stage.n_trials


def run_pilot(
    prepared: Prepared,
    store: MlflowStore,
    *,
    machines: Machines,
    on_event: Callable[[Event], None],
    names: MutableMapping[str, str],
    limits: Limits,
    optuna_url: str | None = None,
) -> PilotEnd:
    """Run what is missing of the pilot, and choose. `names` gets what each trial is called, for whoever listens to `on_event`."""
    began, plan, folder = time.monotonic(), _plan(prepared), pilot_folder(prepared)
    choose: Callable[[], Prepared | None]
    with executor_for(prepared, machines, folder=folder, n_trials=n_asked(prepared)) as (
        here,
        executor,
    ):
        conduct: dict[str, Any] = {
            "record": plan.record,
            "folder": folder,
            "executor": executor,
            "store": store,
            "make_request": here.request,
            "on_event": on_event,
            "tags": provenance_tags(),
            "limits": limits,
            "optuna_url": optuna_url,
        }
        if plan.tuning is None:
            found = run_search(
                search_plan(prepared.resolved),
                make_trial=partial(_make_trial, prepared.resolved, names),
                **conduct,
            )
            summary, choose = found.summary, partial(_confirmed, prepared, found)
        else:
            names.update(
                {
                    one.trial.trial_id: arm.name
                    for one, arm in zip(plan.tuning, plan.record.arms, strict=True)
                }
            )
            summary, choose = (
                run_study(trials=[one.trial for one in plan.tuning], **conduct),
                partial(_tuned, prepared, plan.tuning),
            )
    left = limits.after(
        n_trials=summary.n_complete + summary.n_pruned + summary.n_failed,
        seconds=time.monotonic() - began,
    )
    return PilotEnd(summary, None if summary.n_left else choose(), left)


def _make_trial(resolved: Resolved, names: MutableMapping[str, str], cell: Cell) -> Trial | None:
    trial = searched_trial(
        resolved.grid, cell, data=resolved.data, fingerprint=resolved.data_set.facts.fingerprint
    )
    if trial is not None:
        names[trial.trial_id] = searched_name(trial.recipe, tuple(resolved.grid.axes))
    return trial


def search_plan(resolved: Resolved) -> SearchPlan:
    """What the grid asks its sampler and its pruner for."""
    grid = resolved.grid
    assert grid.search is not None
    epochs = grid.space.get("epochs")
    ends = () if epochs is None else (epochs.high,) if isinstance(epochs, Range) else epochs.levels
    return SearchPlan(
        grid.search,
        grid.space,
        select_by=grid.select_by,
        n_epochs=max([int(end) for end in ends] or [grid.base.epochs]),
        seed=grid.pilot_seed,
    )


def _confirmed(prepared: Prepared, found: Found) -> Prepared | None:
    """The confirmation: the arms that the search found best, with every seed of the grid."""
    if not found.best:
        return None
    resolved, folder = prepared.resolved, StudyFolder(pilot_folder(prepared))
    arms = {arm.arm_id: arm for arm in folder.read_plan().record.arms}
    search = search_plan(resolved)

    def describe(trial: Trial) -> tuple[str, dict[str, Any]]:
        return arms[trial.arm_id].name, dict(arms[trial.arm_id].cells[0])

    pilot = _pilot(
        resolved,
        pilot_trials(folder, describe, objectives=search.objectives),
        objectives=search.objectives,
    ).model_copy(
        update={
            "sampler": search.search.sampler,
            "pruner": search.search.pruner,
            "n_confirm": search.search.confirm,
            "front": tuple(trial.trial_id for trial in found.front),
            "chosen": tuple(trial.trial_id for trial in found.best),
        }
    )
    chosen = tuple(arms[trial.arm_id] for trial in found.best)
    return _followed_by(
        prepared, chosen, pilot=pilot, trials=confirmation(found.best, seeds=resolved.record.seeds)
    )


def _tuned(prepared: Prepared, tuning: tuple[Candidate, ...]) -> Prepared | None:
    """Every arm with the combination that was best on val, the first of equal ones."""
    resolved, select_by = prepared.resolved, prepared.resolved.grid.select_by
    names, of_trial = (
        {arm.arm_id: arm.name for arm in resolved.expansion.arms},
        {one.trial.trial_id: one for one in tuning},
    )

    def describe(trial: Trial) -> tuple[str, dict[str, Any]]:
        return names[of_trial[trial.trial_id].of_arm], dict(of_trial[trial.trial_id].tuned)

    told = pilot_trials(StudyFolder(pilot_folder(prepared)), describe, objectives=(select_by,))
    scores = {
        trial.trial_id: trial.scores[select_by] for trial in told if select_by in trial.scores
    }
    best: dict[str, Candidate | None] = {
        arm_id: best_of(
            select_by,
            [one for one in tuning if one.of_arm == arm_id],
            lambda one: scores.get(one.trial.trial_id, math.nan),
        )
        for arm_id in names
    }
    n_tried = {arm_id: sum(one.of_arm == arm_id for one in tuning) for arm_id in names}
    arms, lost = tuned_arms(resolved.expansion, best, n_tried)
    if not arms:
        return None
    baseline = best.get(resolved.expansion.baseline_arm_id)
    expansion = replace(
        resolved.expansion,
        arms=arms,
        excluded=(*resolved.expansion.excluded, *lost),
        baseline_arm_id="" if baseline is None else baseline.trial.arm_id,
    )
    fingerprint = resolved.data_set.facts.fingerprint
    trials = study_trials(
        resolved.grid,
        expansion,
        data=resolved.data,
        fingerprint=fingerprint,
        seeds=resolved.record.seeds,
    )
    chosen = tuple(one.trial.trial_id for one in best.values() if one is not None)
    pilot = _pilot(resolved, told, objectives=(select_by,)).model_copy(update={"chosen": chosen})
    update = {"excluded": expansion.excluded, "baseline_arm_id": expansion.baseline_arm_id}
    record = resolved.record.model_copy(update=update)
    return _followed_by(
        replace(prepared, resolved=replace(resolved, expansion=expansion, record=record)),
        arms,
        pilot=pilot,
        trials=trials,
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
    record = resolved.record.model_copy(update={"arms": arms, "pilot": pilot})
    return replace(prepared, resolved=replace(resolved, record=record, trials=tuple(trials)))


def _plan(prepared: Prepared) -> PilotPlan:
    assert prepared.resolved.pilot is not None
    return prepared.resolved.pilot
