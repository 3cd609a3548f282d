"""The two metrics that effects, intervals and verdicts are about: the task says which."""

from __future__ import annotations

from ablate.study.record import StudyRecord
from ablate.study.tasks import task_of


def primary_metric(record: StudyRecord) -> str:
    """The key on test of the metric that every verdict is about."""
    return f"test/{task_of(record.task).primary}"


def secondary_metric(record: StudyRecord) -> str:
    """The key on test of the metric that is claimed only where the primary one is."""
    return f"test/{task_of(record.task).secondary}"


def judged_metrics(record: StudyRecord) -> tuple[str, str]:
    """The primary and the secondary metric."""
    return primary_metric(record), secondary_metric(record)
