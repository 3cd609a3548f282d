"""The most confused pair in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ablate.reporting.insights.classification.class_digest import class_digest
from ablate.reporting.insights.classification.mistake_text import error_lines, error_sentences
from ablate.reporting.predictions.read import read_study

CONFUSION = np.diag([10, 20, 30, 40, 50])
CONFUSION[1, 2] = 7


def test_errors_are_counted_among_the_images_of_their_label_where_classes_bear_one_name(
    published,
) -> None:
    arm = published.study.record.arms[0]
    readings = read_study(published.study, published.predictions)
    digest = class_digest(readings, published.study.record, arm.arm_id)
    assert digest is not None
    digest = replace(digest, confusion=CONFUSION)
    names = ["leaf", "leaf", "stem", "root", "bud"]
    assert error_lines(digest, names)[0] == "`leaf` taken for `stem`: 7 of 27"
    assert "(7 of 27 predictions on `leaf`)" in error_sentences(digest, names)[0]
