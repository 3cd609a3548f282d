"""A study as read back from MLflow: what reports are made of."""

from __future__ import annotations

from dataclasses import dataclass

from ablate.study.provenance import Provenance, provenance_of_tags
from ablate.study.record import StudyRecord
from ablate.study.trial import Trial
from ablate.study.trial_facts import TrialFacts, facts_of_tags
from ablate.tracking.events import Event


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """One child run. `status` is a TrialState value, or RUNNING."""

    run_id: str
    trial_id: str
    arm_id: str
    seed: int
    attempt: int
    status: str
    metrics: dict[str, float]
    """Final values: `val/<metric>`, `test/...`, `time/train_s`, `cost/...`."""
    curves: dict[str, tuple[tuple[int, float], ...]]
    """Per epoch: `train/loss`, `val/<metric>`, ... -> ((epoch, value), ...), epochs ascending."""
    params: dict[str, str]
    # Everything else that is known of a run: facts and provenance are read from here.
    tags: dict[str, str]
    failure: str
    """First line of what went wrong; empty when nothing did."""

    @property
    def facts(self) -> TrialFacts:
        """How the scores came about, as the run's tags say."""
        return facts_of_tags(self.tags)

    @property
    def provenance(self) -> Provenance:
        """Which code, libraries and machine made the run, as its tags say."""
        return provenance_of_tags(self.tags)


@dataclass(frozen=True, slots=True)
class PublishedStudy:
    """A study of a grid as a tracking store has it, with the run that speaks for each trial.

    That is the newest complete attempt, or the newest one where none is complete.
    """

    record: StudyRecord
    tracking_uri: str
    experiment_id: str
    parent_run_id: str
    runs: tuple[PublishedRun, ...]


@dataclass(frozen=True, slots=True)
class PublishedAttempt:
    """One attempt that has ended, as it would stand in a journal.

    Times of epochs are spread evenly: MLflow keeps them with their metrics only.
    """

    run_id: str
    trial: Trial
    attempt: int
    events: tuple[Event, ...]
    """Its start, its epochs, its end."""
    files: tuple[str, ...]
    """What it left in its folder, and the store holds now."""
    # Not that of the home which takes the attempt over.
    provenance: Provenance
    """What made it, as its run's tags say."""
