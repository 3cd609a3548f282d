"""A study's scores with their replicates, for studies beside the main one."""

from __future__ import annotations

from ablate.reporting.evidence.frames import trial_frame
from ablate.reporting.evidence.scores import StudyScores
from ablate.reporting.predictions.read import Predictions, read_study
from ablate.reporting.predictions.replicates import replicate_arrays
from ablate.tracking.records import PublishedStudy


def scored_study(study: PublishedStudy, predictions: Predictions) -> StudyScores:
    """Read the predictions of each complete run once, and resample its test images.

    The resamples follow from the images alone, so a run has the same ones in every study that it is
    taken into, and comparisons of these studies stay paired.
    """
    replicates = replicate_arrays(read_study(study, predictions), study.record)
    return StudyScores(study.record, trial_frame(study), replicates)
