"""Catch up: tell a tracking store what a study's journal says, without running anything.

Safe to repeat.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from ablate.scheduling.lease import lease
from ablate.scheduling.mlflow_follower import MlflowFollower
from ablate.scheduling.queue import distinct
from ablate.scheduling.study_folder import StudyFolder
from ablate.tracking.events import Failure, TrialEnded, TrialState
from ablate.tracking.journal import attempts
from ablate.tracking.publisher import PATIENCE_S, Publisher, Store, Unpublished


def sync_study(path: Path, store: Store, *, patience_s: float = PATIENCE_S) -> Unpublished:
    """Publish the study in the folder `path` and return what could not be published.

    Attempts that a dead conductor left running are ended as KILLED first. Raises StoreError when a
    conductor owns the study (it publishes itself), or the folder does not say what the study is.
    """
    folder = StudyFolder(path)
    with lease(path):
        # Before anything is written to the journal: without a plan nothing could be published.
        plan = folder.read_plan()
        journal = folder.journal
        journal.mend()
        # Else their runs would be RUNNING in the store until somebody resumes the study.
        end_running(folder, why="its conductor died")
        trials = distinct(plan.trials)
        follower = MlflowFollower(store, lambda: plan, trials=trials, folder=folder)
        publisher = Publisher(journal, follower, trial_ids=trials)
        # The publisher reads the journal from its beginning; to close it is to wait for its end.
        return publisher.close(_status(folder, trials.keys()), patience_s=patience_s)


def end_running(folder: StudyFolder, *, why: str) -> None:
    """Write KILLED to the journal for every attempt in it that has no end.

    Only the study's owner may.
    """
    journal = folder.journal
    failure = Failure("Killed", why, traceback="")
    for (trial_id, number), attempt in attempts(journal.skim().events).items():
        # The lease is held, so nobody can be running it.
        if attempt.is_running:
            at = time.time()
            journal.append(TrialEnded(trial_id, number, TrialState.KILLED, at=at, failure=failure))


def _status(folder: StudyFolder, trial_ids: Iterable[str]) -> str:
    """MLflow's status of the study's run: KILLED where some trials were not run to an end."""
    last: dict[str, TrialState] = {}
    for (trial_id, _), attempt in attempts(folder.journal.skim().events).items():
        if attempt.ended is not None and last.get(trial_id) is not TrialState.COMPLETE:
            last[trial_id] = attempt.ended.state
    states = {last.get(trial_id, TrialState.KILLED) for trial_id in trial_ids}
    # From the least finished on: a study with open trials is not failed yet.
    if TrialState.KILLED in states:
        return "KILLED"
    if TrialState.FAILED in states:
        return "FAILED"
    return "FINISHED"
