"""The runs that follow a study's own: fresh seeds, and arms that results added.

No frame of the study holds them. Each kind is a study of its own here, so that the same functions
make its tables.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from itertools import filterfalse

from ablate.reporting.evidence.frames import noise_runs, run_of_trial
from ablate.study.arm_record import ArmRecord, arms_by_id
from ablate.tracking.records import PublishedRun, PublishedStudy


def fresh_study(study: PublishedStudy) -> PublishedStudy | None:
    """The arms of a study's confirmation with the fresh seeds, as a study of its own.

    It has the runs of the whole, of which only those with fresh seeds are of its trials. None where
    nothing is confirmed.
    """
    record = study.record
    if record.confirmation is None or not record.fresh_seeds:
        return None
    # nothing that follows from the grid follows a second time: no questions, no noise floor
    chosen = []
    for arm in record.arms:
        if arm.arm_id in record.confirmation.arm_ids:
            chosen.append(arm)
    update = {
        "arms": tuple(chosen),
        "seeds": record.fresh_seeds,
        "noise_seeds": (),
        "questions": (),
        "n_confirm": 0,
        "confirmation": None,
    }
    return replace(study, record=record.model_copy(update=update))


def fresh_runs(study: PublishedStudy) -> list[PublishedRun]:
    """The runs that confirm the study's choice, whatever became of them."""
    fresh = fresh_study(study)
    if fresh is None:
        return []
    return list(run_of_trial(fresh).values())


def widened_study(study: PublishedStudy, arm_ids: Container[str]) -> PublishedStudy:
    """Some arms of a study, those that results added among them, as a study of its own.

    Each has the cells that were added to it, beside those that the design asked for.
    """
    record = study.record
    added: dict[str, ArmRecord] = {}
    if record.around is not None:
        added = arms_by_id(record.around.arms)
    arms = []
    for arm in record.all_arms:
        if arm.arm_id not in arm_ids:
            continue
        cells = arm.cells
        if arm.arm_id in added:
            # An arm that was added alone has its added cells already: each stays once.
            cells += tuple(filterfalse(cells.__contains__, added[arm.arm_id].cells))
        arms.append(arm.model_copy(update={"cells": cells}))
    # the added arms are arms like others now
    update = {"arms": tuple(arms), "around": None}
    return replace(study, record=record.model_copy(update=update))


def added_runs(study: PublishedStudy) -> list[PublishedRun]:
    """The runs of arms that results added, by arm and seed, whatever became of them."""
    added = study.record.added_arms
    if not added:
        return []
    runs = run_of_trial(widened_study(study, arms_by_id(added)))
    ordered = []
    # not in the order of `run_of_trial`, which is that of the store
    for arm in added:
        for seed in study.record.seeds:
            if (arm.arm_id, seed) in runs:
                ordered.append(runs[arm.arm_id, seed])
    return ordered


def named_runs(study: PublishedStudy) -> dict[str, PublishedRun]:
    """run_id -> run, of every run that the study asks for.

    Its own, the noise floor's where they completed, fresh ones, and those of added arms.
    """
    # By id: the baseline's runs are in both, with its seeds of the study and of the noise floor.
    own = (*run_of_trial(study).values(), *noise_runs(study))
    # complete, or a run that the study does ask for would be called astray
    runs = (*own, *fresh_runs(study), *added_runs(study))
    return {run.run_id: run for run in runs}


def stray_runs(study: PublishedStudy) -> list[PublishedRun]:
    """Runs whose arm or seed the grid file no longer names, in order of their ids."""
    named = named_runs(study)
    strays = []
    for run in study.runs:
        if run.run_id not in named:
            strays.append(run)
    return sorted(strays, key=lambda run: run.run_id)
