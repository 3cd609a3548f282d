"""Take over trials that a tracking store holds and the study's journal does not know.

Another home published them, or their journal was lost.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Container, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from ablate.errors import StoreError
from ablate.scheduling.attempt_tags import Tags, note_tags
from ablate.scheduling.lease import lease
from ablate.scheduling.study_folder import StudyFolder, StudyPlan
from ablate.study.provenance import provenance_to_tags
from ablate.study.record import StudyRecord
from ablate.study.trial import trials_by_id
from ablate.tracking.artifacts import PREDICTIONS, read_predictions
from ablate.tracking.events import TrialEnded, TrialState
from ablate.tracking.journal import attempts
from ablate.tracking.publisher import attempt_key
from ablate.tracking.records import PublishedAttempt

_LOG = logging.getLogger(__name__)
# A search does not try again what its pruner ended.
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


class Source(Protocol):
    """A tracking store that a study may have been published in."""

    def read_attempts(
        self, study_id: str, *, states: Container[str], but: Container[str]
    ) -> tuple[PublishedAttempt, ...]:
        """The attempts of a study in some states, oldest first, less those of trials in `but`."""
        ...

    def fetch_files(self, attempt: PublishedAttempt, into: Path) -> None:
        """Copy an attempt's files into a folder; raise StoreError where one cannot be read."""
        ...


def adopt(
    path: Path,
    source: Source,
    record: StudyRecord,
    *,
    trial_ids: Collection[str] | None,
    tags: Mapping[str, str] | None = None,
) -> int:
    """Write trials that `source` holds as ended into the journal in the folder `path`.

    Returns how many the journal did not have. They keep attempt, times and scores, so that
    publishing them finds the runs that are there. Their files are copied first: a trial whose
    predictions cannot be read is left to be trained. `trial_ids` are the study's; None for a
    search, whose trials are those that were proposed.
    Raises StoreError where another process owns the study, or the store does not answer.
    """
    folder = StudyFolder(path)
    # Owned from here on: a conductor that starts meanwhile would train what is being copied.
    with lease(path):
        # What the journal has ended itself is not even asked for: it has the truth already.
        published = source.read_attempts(record.study_id, states=_ENDED, but=_ended_trials(folder))
        taken: dict[str, PublishedAttempt] = {}
        for attempt in published:
            trial_id = attempt.trial.trial_id
            is_of_study = trial_ids is None or trial_id in trial_ids
            # The oldest whose files are whole: a trial has one result, whoever published it again.
            if is_of_study and trial_id not in taken and _copy_files(folder, source, attempt):
                taken[trial_id] = attempt
        # Files, then the plan, then the journal: whatever cuts this short, a trial that the journal
        # knows has its files, and its place in the plan.
        if trial_ids is None and taken:
            _write_plan(folder, record, taken, tags or {})
        # Else a third store would be told that the next call of this home made them.
        note_tags(path, _made_by(taken.values()))
        for attempt in taken.values():
            for event in attempt.events:
                folder.journal.append(event)
        return len(taken)


def _ended_trials(folder: StudyFolder) -> set[str]:
    """Ids of the trials that need no attempt more, by the journal."""
    ended = set()
    for (trial_id, _), attempt in attempts(folder.journal.read()).items():
        if attempt.ended is not None and attempt.ended.state in _ENDED:
            ended.add(trial_id)
    return ended


def _copy_files(folder: StudyFolder, source: Source, attempt: PublishedAttempt) -> bool:
    """Whether what the attempt left lies in its folder now, whole."""
    target = folder.attempt(attempt.trial.trial_id, attempt.attempt)
    # Copied beside and renamed: a folder that has its name is whole, whatever cuts this short.
    half = target.with_name(f"{target.name}.part")
    shutil.rmtree(half, ignore_errors=True)
    try:
        source.fetch_files(attempt, half)
        if _is_complete(attempt):  # a pruned one has no predictions
            read_predictions(half / PREDICTIONS)
    except StoreError as error:
        shutil.rmtree(half, ignore_errors=True)
        _LOG.warning(
            "trial %s has ended in MLflow and is trained again all the same: %s",
            attempt.trial.trial_id,
            error,
        )
        return False
    # What an attempt that was killed here has left under that number.
    shutil.rmtree(target, ignore_errors=True)
    half.replace(target)
    return True


def _made_by(published: Iterable[PublishedAttempt]) -> dict[str, Tags]:
    """Attempt's key -> what made it, as its run says."""
    made_by: dict[str, Tags] = {}
    for attempt in published:
        key = attempt_key(attempt.trial.trial_id, attempt.attempt)
        made_by[key] = provenance_to_tags(attempt.provenance)
    return made_by


def _is_complete(attempt: PublishedAttempt) -> bool:
    last = attempt.events[-1]
    return isinstance(last, TrialEnded) and last.outcome is not None


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
    known = trials_by_id(plan.trials)
    for trial_id, attempt in taken.items():
        if trial_id not in known:
            plan = plan.with_trial(attempt.trial)
    folder.write_plan(plan)
