"""Scores as pure functions of arrays; `SCORING` has those of each task."""

from __future__ import annotations

from ablate.metrics import classification, multilabel
from ablate.metrics._base import Scoring
from ablate.study.tasks.classification import CLASSIFICATION
from ablate.study.tasks.multilabel import MULTILABEL

__all__ = ["SCORING", "Scoring"]

SCORING: dict[str, Scoring] = {
    CLASSIFICATION.name: Scoring(classification.score, classification.resampled),
    MULTILABEL.name: Scoring(multilabel.score, multilabel.resampled),
}
"""By the name of the task."""
