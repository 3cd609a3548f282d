"""One run's predictions on images with several labels, digested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.metrics.multilabel import THRESHOLD, PerLabel, per_label, resampled_label_f1
from ablate.metrics.ranking import rank_classes
from ablate.metrics.resampling import resampled_auroc
from ablate.study.tasks.multilabel import MULTILABEL


@dataclass(frozen=True)
class LabelReading:
    """The test predictions of one run."""

    classes: PerLabel
    errors: pd.DataFrame
    """image_id, class, is_called, p of each image and class where the call is not the label: called without it, or not called in spite of it."""
    together: NDArray[np.int64]
    """(C, C) test images on which both classes are called."""
    wrong_together: NDArray[np.int64]
    """(C, C) those of them that do not have both labels."""
    n_exact: int
    """Test images of which every class is right."""
    n_called: int
    """Classes called, over all test images."""
    resampled: Mapping[str, NDArray[np.float64]]
    """Metric -> (draws,) scores on resampled test images."""


def read_labels(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    image_ids: NDArray[np.object_],
    weights: NDArray[np.float32],
) -> LabelReading:
    """Digest test predictions (N, C) against labels (N, C) of 0 and 1; `weights` (draws, N) resample the images."""
    called, positive, ranking = (
        probabilities >= THRESHOLD,
        labels == 1,
        rank_classes(probabilities, labels),
    )
    images, classes = np.nonzero(called != positive)
    count, right = called.astype(np.int64), (called & positive).astype(np.int64)
    together = count.T @ count
    return LabelReading(
        classes=per_label(probabilities, labels, ranking=ranking),
        errors=pd.DataFrame(
            {
                "image_id": image_ids[images],
                "class": classes,
                "is_called": called[images, classes],
                "p": probabilities[images, classes],
            }
        ),
        together=together,
        wrong_together=together - right.T @ right,
        n_exact=int((called == positive).all(axis=1).sum()),
        n_called=int(called.sum()),
        resampled={
            f"test/{MULTILABEL.primary}": resampled_label_f1(probabilities, labels, weights),
            f"test/{MULTILABEL.secondary}": resampled_auroc(ranking, weights),
        },
    )
