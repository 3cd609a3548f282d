"""One run's predictions on images with several labels, digested."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.metrics.group_resampling import group_resampled_area, widened
from ablate.metrics.multilabel import THRESHOLD, PerLabel, per_label, resampled_label_f1
from ablate.metrics.ranking import Ranking, rank_classes
from ablate.metrics.resampling import resampled_area
from ablate.reporting.predictions._base import Draws, HeldOut, of_test
from ablate.study.record import StudyRecord


@dataclass(frozen=True)
class LabelReading:
    """The test predictions of one run."""

    classes: PerLabel
    errors: pd.DataFrame
    """image_id, class, is_called, p of each image and class where the call is not the label."""
    together: NDArray[np.int64]
    """(C, C) test images on which both classes are called."""
    wrong_together: NDArray[np.int64]
    """(C, C) those of them that do not have both labels."""
    n_exact: int
    """Test images of which every class is right."""
    n_called: int
    """Classes called, over all test images."""
    n_images: int
    """Of test."""
    resampled: Draws


def read(held_out: HeldOut, record: StudyRecord) -> LabelReading:  # noqa: ARG001
    """Digest the test predictions; nothing is fitted on val."""
    probabilities = held_out.test.outputs.astype(np.float64)
    labels = held_out.test.targets.array
    image_ids = np.array(held_out.test.image_ids, dtype=object)
    ranking = rank_classes(probabilities, labels)
    is_called = probabilities >= THRESHOLD
    is_positive = labels == 1
    # missed and wrongly called alike: an image has a row for each class that is wrong on it
    images, classes = np.nonzero(is_called != is_positive)
    together = _pairs(is_called)
    errors = pd.DataFrame(
        {
            "image_id": image_ids[images],
            "class": classes,
            "is_called": is_called[images, classes],
            "p": probabilities[images, classes],
        }
    )
    return LabelReading(
        classes=per_label(probabilities, labels, ranking=ranking),
        errors=errors,
        together=together,
        # rightly together where both calls are labels; the rest has at least one wrong call
        wrong_together=together - _pairs(is_called & is_positive),
        n_exact=int((is_called == is_positive).all(axis=1).sum()),
        n_called=int(is_called.sum()),
        n_images=len(labels),
        resampled=of_test(_resampled(held_out, probabilities, ranking)),
    )


def _resampled(
    held_out: HeldOut, probabilities: NDArray[np.float64], ranking: Ranking
) -> dict[str, NDArray[np.float64]]:
    """As `metrics.multilabel.resampled`, without sorting the images a second time."""
    weights = held_out.weights
    group_of = held_out.group_of
    # Exact for any weights: classes have no size that a draw would keep.
    macro_f1 = resampled_label_f1(probabilities, held_out.test.targets.array, weights)
    if group_of is None:
        return {"macro_f1": macro_f1, "auroc_ovr_macro": resampled_area(ranking, weights)}
    return {
        "macro_f1": widened(macro_f1, group_of),
        "auroc_ovr_macro": group_resampled_area(ranking, weights, group_of),
    }


def _pairs(has_class: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(N, C) -> (C, C) images that have both classes."""
    # int64: a product of booleans is a boolean, not a count
    counts = has_class.astype(np.int64)
    return counts.T @ counts
