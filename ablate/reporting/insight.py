"""What stored predictions say of an arm: scores of each class, averaged over its seeds, and which classes it takes for which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.errors import CheckFailed, StoreError
from ablate.metrics.classification import confusion, per_class
from ablate.reporting.tables import run_of_trial
from ablate.spec.study import ArmRecord
from ablate.tracking.artifacts import probabilities_of
from ablate.tracking.events import TrialState
from ablate.tracking.records import PublishedRun, PublishedStudy

Predictions = Callable[[PublishedRun], pd.DataFrame]
"""Reads a run's predictions: columns split, image_id, label, p_0 ... p_{C-1}."""
CLASS_SCORES = ("precision", "recall", "f1", "auroc")


@dataclass(frozen=True)
class ArmInsight:
    """The test predictions of one arm's complete trials."""

    classes: pd.DataFrame
    """One row a class: class, precision, recall, f1, auroc (means over the seeds where defined), support (images in test)."""
    confusion: NDArray[np.int64]
    """(C, C) sum over the seeds; row = label, column = predicted class."""
    n_seeds: int
    """Runs whose predictions could be read."""


def read_insight(study: PublishedStudy, arm: ArmRecord, predictions: Predictions) -> ArmInsight | None:
    """Read the predictions of the arm's complete runs. None where there is none; a run whose predictions the store cannot give is left out."""
    runs = run_of_trial(study)
    found = []
    for seed in study.record.seeds:
        run = runs.get((arm.arm_id, seed))
        if run is None or run.status != TrialState.COMPLETE:
            continue
        try:
            found.append(test_arrays(predictions(run), run))
        except (StoreError, FileNotFoundError):
            continue
    return _insight(found, study.record.data.class_names) if found else None


def test_arrays(frame: pd.DataFrame, run: PublishedRun) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return probabilities (N, C) and labels (N,) of the test split. Raises CheckFailed where the run stored none."""
    test = frame[frame["split"] == "test"]
    if test.empty:
        raise CheckFailed(f"predictions of run {run.run_id} must hold the split test, got {sorted(frame['split'].unique())}")
    return probabilities_of(test).astype(np.float64), test["label"].to_numpy(dtype=np.int64)


def most_confused(insight: ArmInsight, class_names: Sequence[str], *, n_pairs: int) -> list[tuple[str, str, int]]:
    """Return up to `n_pairs` of (label, predicted, errors over all seeds), the most frequent first; ties in order of the classes."""
    errors = insight.confusion.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[:n_pairs]
    rows, columns = np.unravel_index(order, errors.shape)
    return [(class_names[i], class_names[j], int(errors[i, j])) for i, j in zip(rows, columns, strict=True) if errors[i, j] > 0]


def _insight(arrays: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]], class_names: Sequence[str]) -> ArmInsight:
    n_classes = len(class_names)
    if any(probabilities.shape[1] != n_classes for probabilities, _ in arrays):
        raise CheckFailed(f"predictions must have a column for each of the {n_classes} classes, got {[p.shape[1] for p, _ in arrays]}")
    scored = [per_class(probabilities, labels) for probabilities, labels in arrays]
    columns = {name: _mean_where_defined(np.stack([getattr(one, name) for one in scored])) for name in CLASS_SCORES}
    total = np.sum([confusion(labels, probabilities.argmax(axis=1), n_classes) for probabilities, labels in arrays], axis=0)
    return ArmInsight(
        classes=pd.DataFrame({"class": list(class_names), **columns, "support": scored[0].support}),
        confusion=total,
        n_seeds=len(arrays),
    )


def _mean_where_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(seeds, C) -> (C,), NaN where no seed has a value."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0.0).sum(axis=0) / defined.sum(axis=0), dtype=np.float64)
