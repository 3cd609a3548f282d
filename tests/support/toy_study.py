"""A small study without images, and a tracking store that is made once a session and copied for each test."""

from __future__ import annotations

import atexit
import functools
import itertools
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ablate.recipe.recipe import Recipe
from ablate.study.record import ArmRecord, DataFacts, StudyRecord
from ablate.study.trial import DataSpec, Trial
from ablate.study.trial_facts import TrialFacts
from ablate.targets import OneLabel
from ablate.targets.codecs import SplitPredictions
from ablate.tracking.artifacts import write_predictions
from ablate.tracking.events import (
    EpochEnded,
    Event,
    Failure,
    TrialEnded,
    TrialOutcome,
    TrialStarted,
    TrialState,
)

CLASSES = ("aster", "daisy", "rose")
AXES = {"freeze_depth": ("all", -1), "lr_ratio": (0.1, 1.0)}


def toy_study(
    *, seeds: Sequence[int] = (0, 1), study_id: str = "abc123", grid_name: str = "toy", axes=AXES
) -> tuple[StudyRecord, list[Trial]]:
    arms, trials = [], []
    for levels in itertools.product(*axes.values()):
        cell = dict(zip(axes, levels, strict=True))
        recipe = Recipe(**{"weight_decay": 0.05, **cell})
        made = [
            Trial(
                task="classification",
                data=DataSpec(source="toy", split_seed=3),
                data_fingerprint="f" * 64,
                recipe=recipe,
                select_by="val/macro_f1",
                seed=seed,
            )
            for seed in seeds
        ]
        if made[0].arm_id not in {arm.arm_id for arm in arms}:
            name = " ".join(f"{axis}={level}" for axis, level in cell.items())
            arms.append(ArmRecord(arm_id=made[0].arm_id, name=name, recipe=recipe, cells=(cell,)))
            trials += made
    return StudyRecord(
        study_id=study_id,
        grid_name=grid_name,
        question="Does it work?",
        task="classification",
        data=toy_facts(),
        image_size="auto",
        axes=axes,
        baseline_arm_id=arms[0].arm_id,
        select_by="val/macro_f1",
        seeds=tuple(seeds),
        arms=tuple(arms),
        excluded=(),
        command="make ablation GRID=toy",
    ), trials


def toy_facts() -> DataFacts:
    return DataFacts(
        source="toy",
        title="Toy flowers",
        version="1",
        licence="CC0",
        origin="nowhere",
        is_synthetic=True,
        requested_source="toy",
        class_names=CLASSES,
        class_counts={"train": (4, 4, 4), "val": (2, 2, 2), "test": (2, 2, 2)},
        fingerprint="f" * 64,
        split_rule="official",
    )


def toy_events(
    trial: Trial, *, folder: Path, attempt: int = 1, at: float = 1_700_000_000.0, n_epochs: int = 3
) -> list[Event]:
    """Events of a completed attempt whose files lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(folder / "predictions.parquet", toy_predictions(), task="classification")
    (folder / "delta.safetensors").write_bytes(b"weights")
    epochs = [
        EpochEnded(
            trial.trial_id,
            attempt,
            epoch=e,
            n_epochs=n_epochs,
            metrics={"train/loss": 1.0 / (e + 1), "val/macro_f1": 0.5 + e / 10},
            at=at + e,
        )
        for e in range(n_epochs)
    ]
    outcome = TrialOutcome(
        best_epoch=1,
        metrics={"val/macro_f1": 0.6, "test/macro_f1": 0.55, "time/train_s": 2.5},
        facts=TrialFacts(device="cpu", precision="fp32"),
        files=("predictions.parquet", "delta.safetensors"),
    )
    return [
        TrialStarted(trial.trial_id, attempt, slot="cpu:0", at=at),
        *epochs,
        TrialEnded(trial.trial_id, attempt, TrialState.COMPLETE, at=at + n_epochs, outcome=outcome),
    ]


def failed_events(trial: Trial, *, attempt: int = 1, at: float = 1_700_000_000.0) -> list[Event]:
    failure = Failure(
        "ValueError",
        "no luck",
        traceback="Traceback (most recent call last):\n  somewhere\nValueError: no luck\n",
    )
    return [
        TrialStarted(trial.trial_id, attempt, slot="cpu:0", at=at),
        EpochEnded(
            trial.trial_id, attempt, epoch=0, n_epochs=3, metrics={"train/loss": 1.0}, at=at + 1
        ),
        TrialEnded(trial.trial_id, attempt, TrialState.FAILED, at=at + 2, failure=failure),
    ]


def toy_predictions() -> dict[str, SplitPredictions]:
    labels = np.array([0, 0, 1, 1, 2, 2])
    guesses = np.array([0, 1, 1, 1, 2, 0])
    probabilities = np.full((6, 3), 0.1)
    probabilities[np.arange(6), guesses] = 0.8
    predictions = {}
    for split in ("val", "test"):
        image_ids = [f"{split}/{i}.png" for i in range(6)]
        predictions[split] = SplitPredictions(image_ids, OneLabel(labels, 3), probabilities)
    return predictions


@functools.cache
def _template() -> Path:
    from ablate.tracking.mlflow_store import MlflowStore

    home = Path(tempfile.mkdtemp(prefix="ablate-test-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    MlflowStore(f"sqlite:///{home / 'mlflow.db'}", "template").check_reachable()
    return home / "mlflow.db"


def new_store_uri(folder: Path) -> str:
    """URI of an empty SQLite store in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(_template(), folder / "mlflow.db")
    return f"sqlite:///{folder / 'mlflow.db'}"
