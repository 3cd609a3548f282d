"""What the predictions of a classification say: the task's side of `results.Insight`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ablate.reporting.figures.picture import Picture
from ablate.reporting.figures.tiles import TileFigure
from ablate.reporting.insights.class_scores import class_frame, weakest_sentence
from ablate.reporting.insights.classification import class_sections, suspect_text
from ablate.reporting.insights.classification.at_target import target_section, target_sentence
from ablate.reporting.insights.classification.class_digest import (
    CLASS_SCORES,
    ClassDigest,
    class_digest,
)
from ablate.reporting.insights.classification.class_pictures import class_pictures, class_tiles
from ablate.reporting.insights.classification.class_words import WORDS
from ablate.reporting.insights.classification.confusion import confusion_frame
from ablate.reporting.insights.classification.mistake_text import error_lines
from ablate.reporting.insights.classification.suspects import (
    Suspect,
    suspect_frame,
    suspect_labels,
)
from ablate.reporting.predictions.pooled_votes import Pooled
from ablate.reporting.predictions.read import Readings
from ablate.reporting.predictions.target_precision import with_target
from ablate.reporting.results import CardWords, Results, ShowFigure
from ablate.reporting.text.layout import in_pairs
from ablate.study.record import ArmRecord, StudyRecord


@dataclass(frozen=True)
class ClassInsight:
    """Scores by class, confusion, calibration, labels in doubt. See `results.Insight`."""

    arms: Mapping[str, ClassDigest]
    """By arm_id; arms without readable predictions are missing."""
    pooled: tuple[Pooled, ...]
    """What all complete trials say of val and test images."""
    suspects: tuple[Suspect, ...]
    """The most certain first."""
    words: CardWords = WORDS

    def with_columns(self, arms: pd.DataFrame, record: StudyRecord) -> pd.DataFrame:
        """The operating point of each arm, where the grid asks for a precision."""
        if record.target_precision is None:
            return arms
        return with_target(arms, self.arms)

    def tables(self, results: Results) -> dict[str, pd.DataFrame]:
        """Scores by class, the best arm's confusion, labels in doubt."""
        names = results.record.data.class_names
        digest = results.of_champion(self.arms)
        if digest is None:
            # The file stays: a folder in which it is missing would be another task's report.
            confusion = pd.DataFrame(columns=["label"])
        else:
            confusion = confusion_frame(digest.confusion, names)
        return {
            "classes": class_frame(self.arms, results.record, scores=tuple(CLASS_SCORES)),
            # names of files: old reports are verified under them
            "confusion_champion": confusion,
            "suspect_labels": suspect_frame(self.suspects, names),
        }

    def pictures(self, results: Results) -> list[Picture]:
        """Confusion matrix and reliability diagram of the best arm."""
        digest = results.of_champion(self.arms)
        if digest is None:
            return []
        return class_pictures(digest, results.record.data.class_names)

    def tiles(self, results: Results) -> list[TileFigure]:
        """Confused pairs and mistakes of the best arm, labels in doubt."""
        names = results.record.data.class_names
        # without a best arm too: all trials together doubt a label
        figures = [suspect_text.suspect_tiles(self.suspects, names)]
        digest = results.of_champion(self.arms)
        if digest is not None:
            figures = [*class_tiles(digest, self.pooled, names), *figures]
        return figures

    def report_sections(self, results: Results) -> list[str]:
        """The operating points, where the grid asks for a precision."""
        return [target_section(results)]

    def error_lines(self, results: Results) -> list[str]:
        """The most confused pair, the weakest class, confidence beside accuracy."""
        digest = results.of_champion(self.arms)
        if digest is None:
            return []
        return error_lines(digest, results.record.data.class_names)

    def error_parts(self, results: Results, show: ShowFigure) -> list[str]:
        """What the best arm takes for what, and how well it is calibrated."""
        digest = results.of_champion(self.arms)
        if digest is None:
            return []
        return class_sections.error_parts(digest, results, show)

    def review_parts(self, results: Results, show: ShowFigure) -> list[str]:
        """Labels in doubt."""
        names = results.record.data.class_names
        listed = suspect_text.suspects_paragraph(self.suspects, self.pooled, names)
        return [in_pairs([listed, show(suspect_text.SUSPECTS)])]

    def checks(self) -> dict[str, int | None]:
        """Labels in doubt."""
        return {"suspect_labels": len(self.suspects)}

    def card_sections(self, results: Results, arm: ArmRecord) -> list[str]:
        """Scores by class, errors, calibration."""
        # cards are written for every arm, the failed ones too
        digest = self.arms.get(arm.arm_id)
        if digest is None:
            return class_sections.UNREAD_SECTIONS
        return class_sections.card_sections(digest, results, arm)

    def score_note(self, results: Results, arm: ArmRecord) -> str:
        """The arm's operating point, where the grid asks for a precision."""
        return target_sentence(results, arm.arm_id)

    def limits(self, results: Results, arm: ArmRecord) -> list[str]:
        """Its weakest classes and its calibration."""
        # said even where no predictions could be read: the score itself was logged
        calibration = class_sections.calibration_limit(results, arm)
        digest = self.arms.get(arm.arm_id)
        if digest is None:
            return [calibration]
        return [weakest_sentence(digest.classes), calibration]


def class_insight(readings: Readings, record: StudyRecord) -> ClassInsight:
    """Gather what was read of a study."""
    arms = {}
    for arm in record.arms:
        # One arm at a time: a digest is small, the predictions behind it are not.
        digest = class_digest(readings, record, arm.arm_id)
        if digest is not None:
            arms[arm.arm_id] = digest
    return ClassInsight(arms, readings.pooled, suspect_labels(readings.pooled))
