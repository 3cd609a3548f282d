"""A third task, registered by tests alone: levels in an order, and how far a prediction is off.

It stores one number per image, the expected level, and is judged by an error that is better when
low. All that the program needs to know of a task stands in this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

import ablate.metrics
import ablate.reporting.insights
import ablate.reporting.predictions
import ablate.study.tasks
import ablate.targets.codecs
import ablate.training.tasks
from ablate.errors import CheckFailed
from ablate.metrics import Scoring
from ablate.recipe.recipe import Recipe
from ablate.reporting.figures.picture import Picture
from ablate.reporting.figures.tiles import TileFigure
from ablate.reporting.predictions._base import Draws, HeldOut, Reader, of_test
from ablate.reporting.predictions.read import Readings
from ablate.reporting.results import CardWords, Results, ShowFigure
from ablate.study.record import ArmRecord, StudyRecord
from ablate.study.tasks import FieldRule, HubMetric, Metric, TaskSpec
from ablate.targets import OneLabel
from ablate.targets.codecs import SplitPredictions
from ablate.training.tasks import Forward, TrainTargets

ORDINAL = TaskSpec(
    name="ordinal",
    metrics=(
        Metric(
            "mean_absolute_error",
            "mean absolute error",
            is_lower_better=True,
            highest=float("inf"),
            hub=HubMetric("mae"),
        ),
        Metric("within_one", "share within one level"),
    ),
    primary="mean_absolute_error",
    secondary="within_one",
    targets="one_label",
    hub_task="image-classification",
    field_rules={
        "loss": FieldRule(("cross_entropy",), "the loss is the squared distance in levels"),
        "class_weights": FieldRule(("none",), "levels weigh alike"),
    },
    why_no_target_precision="levels are not two classes",
)


def score(outputs: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, float]:
    """Expected levels (N,) against labels (N,)."""
    error = np.abs(outputs - labels)
    return {
        "mean_absolute_error": float(error.mean()),
        "within_one": float((error <= 1).mean()),
    }


def resampled(
    outputs: NDArray[np.floating], labels: NDArray[np.integer], weights: NDArray[np.float32]
) -> Mapping[str, NDArray[np.float64]]:
    """Both scores are means over the images, so a draw is a weighted mean."""
    error = np.abs(outputs - labels)
    n_images = weights.sum(axis=1)
    return {
        "mean_absolute_error": np.asarray(weights @ error / n_images, dtype=np.float64),
        "within_one": np.asarray(weights @ (error <= 1) / n_images, dtype=np.float64),
    }


@dataclass(frozen=True, eq=False)
class Ordinal:
    """The squared distance between the expected level and the label."""

    class_weights: Tensor | None = None

    @classmethod
    def for_training(cls, recipe: Recipe, train: TrainTargets, *, device: str) -> Self:
        return cls()

    @classmethod
    def for_serving(cls, recipe: Recipe) -> Self:
        return cls()

    def training_loss(self, forward: Forward, images: Tensor, targets: Tensor) -> Tensor:
        levels = self.predict(forward(images))
        return F.mse_loss(levels, _levels(targets).to(levels.dtype))

    def mass(self, targets: Tensor) -> float | Tensor:
        return len(targets)

    def predictions(self, forward: Forward, images: Tensor) -> Tensor:
        return self.predict(forward(images))

    def predict(self, outputs: Tensor) -> Tensor:
        """Scores of the levels (B, C) -> the expected level (B,)."""
        return _levels(torch.softmax(outputs.float(), dim=1))

    def evaluate(
        self, predictions: NDArray[np.float32], targets: NDArray[np.int64]
    ) -> dict[str, float]:
        return score(predictions, targets)


def _levels(targets: Tensor) -> Tensor:
    """Labels (B,), or shares of levels (B, C), as numbers (B,)."""
    if targets.ndim == 1:
        return targets.float()
    return targets @ torch.arange(targets.shape[1], dtype=targets.dtype, device=targets.device)


class ExpectedLevel:
    """Columns `level` and `expected`."""

    def encode(self, predictions: SplitPredictions) -> dict[str, Any]:
        return {
            "image_id": list(predictions.image_ids),
            "level": predictions.targets.array,
            "expected": np.asarray(predictions.outputs, dtype=np.float32),
        }

    def decode(self, columns: Mapping[Any, Any], *, n_classes: int) -> SplitPredictions:
        levels = np.asarray(columns["level"], dtype=np.int64)
        if levels.max() >= n_classes:
            raise CheckFailed(f"levels must be below {n_classes}, got {levels.max()}")
        outputs = np.asarray(columns["expected"], dtype=np.float32)
        return SplitPredictions(list(columns["image_id"]), OneLabel(levels, n_classes), outputs)

    def needed_columns(self) -> tuple[str, ...]:
        return ("image_id", "level", "expected")


@dataclass(frozen=True)
class OrdinalReading:
    """The error of each test image of one run."""

    errors: Sequence[float]
    resampled: Draws


def read(held_out: HeldOut, record: StudyRecord) -> OrdinalReading:
    outputs = held_out.test.outputs.astype(np.float64)
    labels = held_out.test.targets.array
    draws = of_test(resampled(outputs, labels, held_out.weights))
    return OrdinalReading(np.abs(outputs - labels).tolist(), draws)


LOAD = """import mlflow

print(mlflow.get_run("{run_id}").data.tags, {class_names})
"""


WORDS = CardWords(
    purpose="To tell how high an image stands on {n_classes} levels: {classes}.",
    limit="Trained on {n_images} images of {n_classes} levels.",
    load_champion=LOAD,
    load_run=LOAD,
)


@dataclass(frozen=True)
class OrdinalInsight:
    """How far off an arm is. See `results.Insight`."""

    errors: Mapping[str, float]
    """arm_id -> mean error of its test predictions, in levels, over images and seeds."""
    words: CardWords = WORDS

    def with_columns(self, arms: pd.DataFrame, _record: StudyRecord) -> pd.DataFrame:
        return arms.assign(levels_off=arms["arm_id"].map(self.errors))

    def tables(self, results: Results) -> dict[str, pd.DataFrame]:
        names = {arm.arm_id: arm.name for arm in results.record.arms}
        rows = [(names[arm_id], error) for arm_id, error in self.errors.items()]
        return {"levels": pd.DataFrame(rows, columns=["arm", "levels_off"])}

    def pictures(self, _results: Results) -> list[Picture]:
        return []

    def tiles(self, _results: Results) -> list[TileFigure]:
        return []

    def report_sections(self, _results: Results) -> list[str]:
        return [f"## Levels\n\n{len(self.errors)} arms could be read."]

    def error_lines(self, results: Results) -> list[str]:
        if results.champion is None or results.champion.arm_id not in self.errors:
            return []
        return [f"{self.errors[results.champion.arm_id]:.2f} levels off"]

    def error_parts(self, results: Results, _show: ShowFigure) -> list[str]:
        if results.champion is None or results.champion.arm_id not in self.errors:
            return []
        return [f"The best arm is {self.errors[results.champion.arm_id]:.2f} levels off."]

    def review_parts(self, _results: Results, _show: ShowFigure) -> list[str]:
        return []

    def checks(self) -> dict[str, int | None]:
        return {"levels_off_by_two": None}

    def card_sections(self, _results: Results, arm: ArmRecord) -> list[str]:
        if arm.arm_id not in self.errors:
            return ["## Levels\n\nNot measured."]
        return [f"## Levels\n\n{self.errors[arm.arm_id]:.2f} levels off."]

    def score_note(self, _results: Results, _arm: ArmRecord) -> str:
        return ""

    def limits(self, _results: Results, _arm: ArmRecord) -> list[str]:
        return ["Levels count as equally far apart."]


def insight(readings: Readings, record: StudyRecord) -> OrdinalInsight:
    errors: dict[str, list[float]] = {}
    for arm in record.arms:
        for reading in readings.of_arm(arm.arm_id, record.seeds, OrdinalReading):
            errors.setdefault(arm.arm_id, []).extend(reading.errors)
    known = [arm.arm_id for arm in record.arms if arm.arm_id in errors]
    return OrdinalInsight({arm_id: float(np.mean(errors[arm_id])) for arm_id in known})


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry on each floor; gone after the test."""
    name = ORDINAL.name
    monkeypatch.setitem(ablate.study.tasks.TASKS, name, ORDINAL)
    monkeypatch.setitem(ablate.metrics.SCORING, name, Scoring(score, resampled))
    monkeypatch.setitem(ablate.targets.codecs.CODECS, name, ExpectedLevel())
    monkeypatch.setitem(ablate.training.tasks.TASKS, name, Ordinal)
    monkeypatch.setitem(ablate.reporting.predictions.READERS, name, Reader(read))
    monkeypatch.setitem(ablate.reporting.insights.INSIGHTS, name, insight)
