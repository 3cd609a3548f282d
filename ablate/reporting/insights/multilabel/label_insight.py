"""What predictions on images with several labels say: the task's side of `results.Insight`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ablate.errors import plural
from ablate.reporting.figures.example_images import left_out_note
from ablate.reporting.figures.picture import Picture
from ablate.reporting.figures.tiles import Tile, TileFigure
from ablate.reporting.insights.class_scores import (
    UNREAD,
    by_class_section,
    class_frame,
    weakest_sentence,
)
from ablate.reporting.insights.mistake_tiles import MISTAKES, mistakes_figure
from ablate.reporting.insights.multilabel.label_digest import (
    LABEL_SCORES,
    LabelDigest,
    label_digest,
)
from ablate.reporting.insights.multilabel.label_text import label_error_lines, label_errors
from ablate.reporting.insights.multilabel.label_words import (
    CALIBRATION_SECTION,
    NO_SUSPECTS,
    WORDS,
)
from ablate.reporting.predictions.read import Readings
from ablate.reporting.results import CardWords, Results, ShowFigure
from ablate.study.record import ArmRecord, StudyRecord


@dataclass(frozen=True)
class LabelInsight:
    """Scores by class, and classes that are called or missed. See `results.Insight`."""

    arms: Mapping[str, LabelDigest]
    """By arm_id; arms without readable predictions are missing."""
    words: CardWords = WORDS

    def with_columns(self, arms: pd.DataFrame, _record: StudyRecord) -> pd.DataFrame:
        """As it was."""
        return arms

    def tables(self, results: Results) -> dict[str, pd.DataFrame]:
        """Scores by class."""
        return {"classes": class_frame(self.arms, results.record, scores=tuple(LABEL_SCORES))}

    def pictures(self, _results: Results) -> list[Picture]:
        """None: a class that is called beside another is not taken for it."""
        return []

    def tiles(self, results: Results) -> list[TileFigure]:
        """What the best arm called without the label, then what it missed."""
        digest = results.of_champion(self.arms)
        if digest is None:
            return []
        # several tiles may show one image, once for each class that is wrong on it
        names = results.record.data.class_names
        # missed labels after wrong ones, as in the tables
        captioned = [("predicted", error) for error in digest.false_positives]
        captioned += [("missed", error) for error in digest.false_negatives]
        tiles = []
        for caption, error in captioned:
            tiles.append(Tile(("test", error.image_id), f"{caption}:\n{names[error.position]}"))
        return [mistakes_figure(tiles)]

    def report_sections(self, _results: Results) -> list[str]:
        """None."""
        return []

    def error_lines(self, results: Results) -> list[str]:
        """Images without an error, the worst pair, the weakest class."""
        digest = results.of_champion(self.arms)
        if digest is None:
            return []
        return label_error_lines(digest, results.record.data.class_names)

    def error_parts(self, results: Results, show: ShowFigure) -> list[str]:
        """How often the best arm is right in every class, and where it is not."""
        digest = results.of_champion(self.arms)
        if digest is None:
            return []
        return [
            label_errors(digest, results.record.data.class_names),
            left_out_note(results),
            show(MISTAKES),
        ]

    def review_parts(self, _results: Results, _show: ShowFigure) -> list[str]:
        """That nobody looked for labels in doubt."""
        return [NO_SUSPECTS]

    def checks(self) -> dict[str, int | None]:
        """None."""
        # nothing was looked for, so there is nothing to say how often it was found
        return {}

    def card_sections(self, results: Results, arm: ArmRecord) -> list[str]:
        """Scores by class, errors, and why there is no calibration."""
        digest = self.arms.get(arm.arm_id)
        if digest is None:
            # why there is no calibration holds for all arms, whether read or not
            return [UNREAD, CALIBRATION_SECTION]
        # by itself: with several labels no class is "against the rest"
        note = (
            f"On test, each class by itself, mean over {plural(digest.n_seeds, 'seed')}, "
            "from the stored predictions."
        )
        errors = label_errors(digest, results.record.data.class_names)
        return [
            by_class_section(digest.classes, headings=LABEL_SCORES, note=note),
            f"## What it gets wrong\n\n{errors}",
            CALIBRATION_SECTION,
        ]

    def score_note(self, _results: Results, _arm: ArmRecord) -> str:
        """Nothing."""
        return ""

    def limits(self, _results: Results, arm: ArmRecord) -> list[str]:
        """Its weakest classes."""
        digest = self.arms.get(arm.arm_id)
        if digest is None:
            return []
        return [weakest_sentence(digest.classes)]


def label_insight(readings: Readings, record: StudyRecord) -> LabelInsight:
    """Gather what was read of a study."""
    arms = {}
    for arm in record.arms:
        digest = label_digest(readings, record, arm.arm_id)
        if digest is not None:
            arms[arm.arm_id] = digest
    return LabelInsight(arms)
