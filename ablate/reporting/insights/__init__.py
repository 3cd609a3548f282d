"""What predictions say, task by task: one folder a task, and the registry of them."""

from __future__ import annotations

from collections.abc import Callable

from ablate.errors import CheckFailed
from ablate.reporting.insights.classification.class_insight import class_insight
from ablate.reporting.insights.multilabel.label_insight import label_insight
from ablate.reporting.predictions.read import Readings
from ablate.reporting.results import Insight
from ablate.study.record import StudyRecord
from ablate.study.tasks.classification import CLASSIFICATION
from ablate.study.tasks.multilabel import MULTILABEL

INSIGHTS: dict[str, Callable[[Readings, StudyRecord], Insight]] = {
    CLASSIFICATION.name: class_insight,
    MULTILABEL.name: label_insight,
}
"""Task -> what makes its insight from a study's readings."""


def insight_of(readings: Readings, record: StudyRecord) -> Insight:
    """What the predictions of a study say. Raises CheckFailed for a task without an insight."""
    # a new task was registered without its insight: said here, not as a KeyError in a report
    if record.task not in INSIGHTS:
        raise CheckFailed(
            f"the task of a study must have an insight, one of {', '.join(INSIGHTS)}, "
            f"got {record.task!r}; add one to ablate/reporting/insights"
        )
    return INSIGHTS[record.task](readings, record)
