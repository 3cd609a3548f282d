"""What the test predictions of an arm say where images have several labels: scores by class, the surest errors, classes that are wrongly called together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ablate.reporting.predictions.classification_insight import (
    N_MISTAKES,
    N_PAIRS,
    mean_where_defined,
)
from ablate.reporting.predictions.multilabel import LabelReading
from ablate.reporting.predictions.read import Readings
from ablate.study.record import StudyRecord

LABEL_SCORES = ("precision", "recall", "f1", "auroc", "average_precision")


@dataclass(frozen=True)
class LabelError:
    """A class that was called on a test image without the label, or not called in spite of it."""

    image_id: str
    position: int
    """Of the class."""
    p: float
    """Probability of the class, mean over the seeds that made the error."""
    n_seeds: int


@dataclass(frozen=True)
class Pair:
    """Two classes that are called on the same test images. Counts are over all seeds."""

    first: int
    second: int
    n_wrong: int
    """Images that have not both labels."""
    n_together: int


@dataclass(frozen=True)
class LabelInsight:
    """The test predictions of one arm's complete trials."""

    classes: pd.DataFrame
    """One row a class: class, precision, recall, f1, auroc, average_precision (means over the seeds where defined), support (images in test)."""
    n_seeds: int
    """Runs whose predictions could be read."""
    n_images: int
    """Of test."""
    exact: float
    """Share of the test images of which every class is right, all seeds together."""
    n_called: float
    """Classes called an image, all seeds together."""
    false_positives: tuple[LabelError, ...]
    """Those that most seeds made, the surest first."""
    false_negatives: tuple[LabelError, ...]
    pairs: tuple[Pair, ...]
    """Most often wrong first."""


def label_insight(readings: Readings, record: StudyRecord, arm_id: str) -> LabelInsight | None:
    """Gather an arm's readings, in the order of the seeds; None where there is none."""
    runs = readings.of_kind(LabelReading)
    own = [runs[arm_id, seed] for seed in record.seeds if (arm_id, seed) in runs]
    if not own:
        return None
    columns = {
        name: mean_where_defined(np.stack([getattr(one.classes, name) for one in own]))
        for name in LABEL_SCORES
    }
    errors = pd.concat([one.errors for one in own])
    n_images = record.data.n_images["test"]
    return LabelInsight(
        classes=pd.DataFrame(
            {"class": list(record.data.class_names), **columns, "support": own[0].classes.support}
        ),
        n_seeds=len(own),
        n_images=n_images,
        exact=float(np.mean([one.n_exact for one in own])) / n_images,
        n_called=float(np.mean([one.n_called for one in own])) / n_images,
        false_positives=_surest(errors[errors["is_called"]], ascending=False),
        false_negatives=_surest(errors[~errors["is_called"]], ascending=True),
        pairs=_pairs(
            np.sum([one.wrong_together for one in own], axis=0),
            np.sum([one.together for one in own], axis=0),
        ),
    )


def _surest(errors: pd.DataFrame, *, ascending: bool) -> tuple[LabelError, ...]:
    alike = (
        errors.groupby(["image_id", "class"], sort=True)["p"].agg(["mean", "size"]).reset_index()
    )
    first = alike.sort_values(["size", "mean"], ascending=[False, ascending], kind="stable").head(
        N_MISTAKES
    )
    return tuple(
        LabelError(str(row["image_id"]), int(row["class"]), float(row["mean"]), int(row["size"]))
        for row in first.to_dict("records")
    )


def _pairs(wrong: np.ndarray, together: np.ndarray) -> tuple[Pair, ...]:
    found = [
        Pair(int(i), int(j), int(wrong[i, j]), int(together[i, j]))
        for i, j in zip(*np.triu_indices(len(wrong), k=1), strict=True)
        if wrong[i, j]
    ]
    return tuple(sorted(found, key=lambda pair: -pair.n_wrong)[:N_PAIRS])


def weakest(insight: LabelInsight, *, n: int) -> Sequence[tuple[str, float]]:
    """The classes with the least F1 of those present in test, the weakest first."""
    worst = insight.classes.dropna(subset=["f1"]).sort_values("f1", kind="stable").head(n)
    return [(str(name), float(f1)) for name, f1 in zip(worst["class"], worst["f1"], strict=True)]
