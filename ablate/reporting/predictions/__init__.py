"""What a study's predictions say: each task's reader, by the name of the task."""

from __future__ import annotations

from ablate.reporting.predictions import classification, multilabel
from ablate.reporting.predictions._base import Reader
from ablate.study.tasks.classification import CLASSIFICATION
from ablate.study.tasks.multilabel import MULTILABEL

READERS: dict[str, Reader] = {
    # only where a run names one class per image is there a vote to count
    CLASSIFICATION.name: Reader(classification.read, is_pooled=True),
    MULTILABEL.name: Reader(multilabel.read),
}
