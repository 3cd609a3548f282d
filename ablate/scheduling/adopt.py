"""Take over what a tracking store holds of a study and its journal does not know: trials that
another home published, or whose journal was lost.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Container, Mapping
from pathlib import Path
from typing import Protocol

from ablate.errors import StoreError
from ablate.scheduling.lease import lease
from ablate.scheduling.study_folder import StudyFolder, StudyPlan
from ablate.study.record import StudyRecord
from ablate.tracking.artifacts import PREDICTIONS, read_predictions
from ablate.tracking.events import TrialState
from ablate.tracking.journal import attempts
from ablate.tracking.records import PublishedAttempt

_LOG = logging.getLogger(__name__)
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
"""A search does not try again what its pruner ended."""


class Source(Protocol):
    """A tracking store that a study may have been published in."""

    def read_attempts(
        self, study_id: str, *, states: Container[str], but: Container[str]
    ) -> tuple[PublishedAttempt, ...]:
        """The attempts of a study in some states, oldest first, without those of the trials in
        `but`.
        """
        ...

    def fetch_files(self, attempt: PublishedAttempt, into: Path) -> None:
        """Copy what an attempt left into a folder; raise StoreError for a file that cannot be read."""
        ...


def adopt(
    path: Path,
    source: Source,
    record: StudyRecord,
    *,
    trial_ids: Collection[str] | None,
    tags: Mapping[str, str] | None = None,
) -> int:
    """Write the trials that `source` holds as ended, and the journal in the folder `path` does not,
    into that journal; return how many.

    They keep attempt, times and scores, so that publishing them finds the runs that are there.
    Their files are copied first: a trial whose predictions cannot be read is left to be trained.
    `trial_ids` are the study's; None for a search, whose trials are those that were proposed.
    Raises StoreError where another process owns the study, or the store does not answer.
    """
    folder = StudyFolder(path)
    with lease(path):
        ended = {
            key[0]
            for key, attempt in attempts(folder.journal.read()).items()
            if attempt.ended is not None and attempt.ended.state in _ENDED
        }
        found = source.read_attempts(
            record.study_id, states=[state.value for state in _ENDED], but=ended
        )
        wanted = [
            attempt for attempt in found if trial_ids is None or attempt.trial.trial_id in trial_ids
        ]
        taken: dict[str, PublishedAttempt] = {}
        for attempt in wanted:
            if attempt.trial.trial_id not in taken and _copy_files(folder, source, attempt):
                taken[attempt.trial.trial_id] = attempt
        if trial_ids is None and taken:
            _write_plan(folder, record, taken, tags or {})
        for attempt in taken.values():
            for event in attempt.events:
                folder.journal.append(event)
        return len(taken)


def _copy_files(folder: StudyFolder, source: Source, attempt: PublishedAttempt) -> bool:
    """Whether what the attempt left lies in its folder now, whole."""
    place = folder.attempt(attempt.trial.trial_id, attempt.attempt)
    half = place.with_name(f"{place.name}.part")
    shutil.rmtree(half, ignore_errors=True)
    try:
        source.fetch_files(attempt, half)
        if _is_complete(attempt):
            read_predictions(half / PREDICTIONS)
    except StoreError as error:
        shutil.rmtree(half, ignore_errors=True)
        _LOG.warning(
            "trial %s has ended in MLflow and is trained again all the same: %s",
            attempt.trial.trial_id,
            error,
        )
        return False
    shutil.rmtree(place, ignore_errors=True)
    half.replace(place)
    return True


def _is_complete(attempt: PublishedAttempt) -> bool:
    return getattr(attempt.events[-1], "outcome", None) is not None


def _write_plan(
    folder: StudyFolder,
    record: StudyRecord,
    taken: Mapping[str, PublishedAttempt],
    tags: Mapping[str, str],
) -> None:
    """A search knows its trials from its plan only."""
    try:
        plan = folder.read_plan()
    except StoreError:
        plan = StudyPlan(record, (), tags)
    known = {trial.trial_id for trial in plan.trials}
    for trial_id, attempt in taken.items():
        if trial_id not in known:
            plan = plan.with_trial(attempt.trial)
    folder.write_plan(plan)
