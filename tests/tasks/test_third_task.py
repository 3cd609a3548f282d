"""A task that only the tests know, from pictures in folders to runs that are read back.

It is registered on each floor by one entry and trains, chooses, stores and publishes as every
other task does: nothing outside its own file had to change.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.ordinal_task import ORDINAL, OrdinalReading
from support.toy_study import new_store_uri

from ablate.data.build_store import build_store
from ablate.data.dataset import load_data
from ablate.data.store import ImageStore
from ablate.model.backbone import preprocessing_of
from ablate.recipe.recipe import Recipe
from ablate.reporting.evidence.frames import champion, trial_frame
from ablate.reporting.predictions.read import read_study, split_scores
from ablate.scheduling.conductor import run_study
from ablate.scheduling.executors.inline import InlineExecutor
from ablate.scheduling.session import Session
from ablate.scheduling.study_folder import StudyPlan
from ablate.study.record import ArmRecord, DataFacts, StudyRecord
from ablate.study.request import Compute, TrialRequest
from ablate.study.trial import DataSpec, Fractions, Trial
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.records import PublishedStudy
from ablate.training.serving.export import export_complete
from ablate.training.serving.predict import load_classifier

LEVELS = ("a_dark", "b_grey", "c_light")
BACKBONE = "test_efficientnet"
DATA = DataSpec(
    source="folder",
    path="levels",
    image_size=32,
    split_seed=0,
    fractions=Fractions(train=0.5, val=0.25, test=0.25),
)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Pictures whose brightness is their level, 12 of each."""
    for level, name in enumerate(LEVELS):
        folder = tmp_path / "data" / "levels" / name
        folder.mkdir(parents=True)
        for number in range(12):
            rng = np.random.default_rng([level, number])
            pixels = 90 * level + rng.integers(0, 40, size=(40, 40, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "data"


@pytest.fixture
def prepared(data_dir: Path, tmp_path: Path) -> tuple[DataFacts, ImageStore]:
    """The data set's facts, and its image store."""
    torch.set_num_threads(1)
    _, data_set = load_data(DATA, data_dir=data_dir, allow_fallback=False, task=ORDINAL.name)
    wanted = preprocessing_of(BACKBONE, image_size=32)
    store = build_store(
        data_set,
        home=tmp_path / "home",
        side=wanted.store_side,
        interpolation=wanted.interpolation,
    )
    return data_set.facts, store


def _study(facts: DataFacts) -> tuple[StudyRecord, list[Trial]]:
    """Two arms that differ in their learning rate, two seeds each."""
    arms = []
    trials = []
    for head_lr in (1e-2, 1e-6):
        recipe = Recipe(
            backbone=BACKBONE, weights="none", epochs=3, batch_size=6, head_lr=head_lr, mixup=0.2
        )
        of_arm = [
            Trial(
                task=ORDINAL.name,
                data=DATA,
                data_fingerprint=facts.fingerprint,
                recipe=recipe,
                select_by=f"val/{ORDINAL.primary}",
                seed=seed,
            )
            for seed in (0, 1)
        ]
        cell = {"head_lr": head_lr}
        name = f"head_lr={head_lr}"
        arms.append(ArmRecord(arm_id=of_arm[0].arm_id, name=name, recipe=recipe, cells=(cell,)))
        trials += of_arm
    record = StudyRecord(
        study_id="0123456789ab",
        grid_name="levels",
        question="Which level is it?",
        task=ORDINAL.name,
        data=facts,
        image_size="32",
        axes={"head_lr": (1e-2, 1e-6)},
        baseline_arm_id=arms[0].arm_id,
        select_by=f"val/{ORDINAL.primary}",
        seeds=(0, 1),
        arms=tuple(arms),
        excluded=(),
        command="make ablation GRID=levels",
    )
    return record, trials


@pytest.fixture
def published(
    prepared: tuple[DataFacts, ImageStore], tmp_path: Path
) -> Iterator[tuple[PublishedStudy, MlflowStore, Path]]:
    """The study as MLflow holds it, its store, and its folder."""
    facts, images = prepared
    record, trials = _study(facts)

    def make_request(trial: Trial, attempt: int, folder: Path) -> TrialRequest:
        return TrialRequest(
            trial=trial,
            attempt=attempt,
            n_classes=len(LEVELS),
            store_path=images.path,
            folder=folder,
            compute=Compute(device="cpu", precision="fp32", channels_last=False, threads=1),
        )

    store = MlflowStore(new_store_uri(tmp_path), "levels")
    executor = InlineExecutor("ablate.training.trial_run:run_trial")
    session = Session(tmp_path / "study", executor, make_request, store=store)
    summary = run_study(StudyPlan(record, tuple(trials)), session)
    assert (summary.n_complete, summary.n_failed) == (4, 0), summary.failures
    yield store.read_study("levels"), store, tmp_path / "study"


@pytest.mark.slow
def test_it_trains_is_published_and_read_back(
    published: tuple[PublishedStudy, MlflowStore, Path],
) -> None:
    study, store, folder = published
    assert study.record.task == ORDINAL.name
    keys = {f"{split}/{name}" for split in ("val", "test") for name in ORDINAL.metric_names}
    for run in study.runs:
        assert keys <= set(run.metrics)
        assert not {f"val/{name}" for name in ("macro_f1", "accuracy")} & set(run.metrics)
        frame = store.read_predictions(run)
        assert list(frame.columns) == ["split", "image_id", "level", "expected"]
        for split in ("val", "test"):
            again = split_scores(frame[frame["split"] == split], study.record)
            for name, value in again.items():
                assert run.metrics[f"{split}/{name}"] == pytest.approx(value, rel=1e-6)
    assert not list(folder.glob("**/confusion_*"))


@pytest.mark.slow
def test_the_best_is_the_arm_with_the_smallest_error(
    published: tuple[PublishedStudy, MlflowStore, Path],
) -> None:
    study, _, _ = published
    trials = trial_frame(study)
    best = champion(study.record, trials)
    assert best is not None
    errors = trials.groupby("arm_id")[study.record.select_by].mean()
    assert errors[best.arm_id] == errors.min() < errors.max()
    for run in study.runs:
        curve = [value for _, value in run.curves[study.record.select_by]]
        assert run.metrics[study.record.select_by] == pytest.approx(min(curve))


@pytest.mark.slow
def test_its_readings_have_the_draws_of_its_own_metrics(
    published: tuple[PublishedStudy, MlflowStore, Path],
) -> None:
    study, store, _ = published
    readings = read_study(study, store.read_predictions)
    assert [type(reading) for reading in readings.runs.values()] == 4 * [OrdinalReading]
    assert readings.pooled == ()
    for (arm_id, seed), draws in readings.resampled.items():
        (run,) = [run for run in study.runs if (run.arm_id, run.seed) == (arm_id, seed)]
        for name in (ORDINAL.primary, ORDINAL.secondary):
            values = draws[f"test/{name}"]
            assert values.mean() == pytest.approx(run.metrics[f"test/{name}"], abs=0.05)


@pytest.mark.slow
def test_its_champion_serves_the_predictions_that_were_stored(
    published: tuple[PublishedStudy, MlflowStore, Path],
    prepared: tuple[DataFacts, ImageStore],
    tmp_path: Path,
) -> None:
    study, store, folder = published
    run = study.runs[0]
    trial_folder = folder / "trials" / f"{run.trial_id}-{run.attempt}"
    served = load_classifier(export_complete(trial_folder, tmp_path / "model"))
    frame = store.read_predictions(run)
    stored = frame[frame["split"] == "test"]["expected"].to_numpy()
    images = np.asarray(prepared[1].split("test").images)
    np.testing.assert_allclose(served.predict(images), stored, atol=1e-4)
