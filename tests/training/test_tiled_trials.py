"""Trials on tiles: they learn from tiles, and say one thing of each image."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ablate.data.build_store import WantedImages, build_stores
from ablate.data.dataset import DataSet
from ablate.data.store import ImageStore, open_store
from ablate.metrics.classification import score
from ablate.model.backbone import preprocessing_of
from ablate.study.request import TrialRequest
from ablate.study.trial import DataSpec
from ablate.tracking.artifacts import read_predictions
from ablate.tracking.events import TrialOutcome
from ablate.training.feeds.trained_part import images_in_use, train_sampling
from ablate.training.serving.export import export_complete
from ablate.training.serving.predict import load_classifier
from ablate.training.trial_run import run_trial

IMAGE_SIZE = 64
COLUMNS = ["p_0", "p_1", "p_2"]


@pytest.fixture
def tiled(make_request, data_set: DataSet, tmp_path: Path):
    """A request whose images are cut into tiles as `tiles` says."""

    def make(tiles: str, join: str | None = None, **recipe: Any) -> TrialRequest:
        request = make_request(**recipe)
        spec = DataSpec(
            source="folder", image_size=IMAGE_SIZE, view="squash", tiles=tiles, tiles_join=join
        )
        trial = request.trial.model_copy(update={"data": spec})
        shown = preprocessing_of(trial.recipe.backbone, image_size=IMAGE_SIZE).as_shown(trial.shown)
        wanted = WantedImages(
            shown.store_side, shown.interpolation, view=shown.view, tiles=shown.tiles
        )
        store = build_stores(data_set, [wanted], home=tmp_path / "home")[wanted]
        return request.model_copy(update={"trial": trial, "store_path": store.path})

    return make


def outcome_of(request: TrialRequest) -> TrialOutcome:
    return run_trial(request, lambda *_: None)


@pytest.mark.parametrize(
    "recipe",
    [
        {"shots": 3, "class_weights": "balanced"},
        {"classifier": "logistic"},
        {"classifier": "knn"},
        {"mixup": 0.2, "sampler": "balanced", "logit_adjustment": 1.0},
        {"augment": "light", "freeze_depth": -1, "lora_rank": 2},
    ],
    ids=lambda recipe: "-".join(recipe),
)
def test_scores_and_files_are_of_images(tiled, recipe: dict[str, Any]) -> None:
    request = tiled("2x2", epochs=1, **recipe)
    outcome = outcome_of(request)
    store = open_store(request.store_path)
    frame = read_predictions(request.folder / "predictions.parquet")
    for name in ("val", "test"):
        own = frame[frame["split"] == name]
        assert tuple(own["image_id"]) == store.split(name).image_ids
        np.testing.assert_array_equal(own["label"], store.targets(name).array)
        for metric, value in score(own[COLUMNS].to_numpy(), own["label"].to_numpy()).items():
            assert outcome.metrics[f"{name}/{metric}"] == pytest.approx(value, abs=1e-6)
    facts = outcome.facts.train_images
    assert facts is not None
    assert facts.n_all == 19
    assert facts.n_used == (9 if "shots" in recipe else 19)


@pytest.mark.parametrize("join", ["mean", "max"])
def test_a_champion_cuts_and_joins_as_the_trial_did(
    tiled, data_set: DataSet, tmp_path: Path, join: str
) -> None:
    request = tiled("2x3", join, epochs=1)
    outcome_of(request)
    classifier = load_classifier(export_complete(request.folder, tmp_path / "out"))
    split = data_set.splits["test"]
    images = [split.read(i) for i in range(len(split.labels))]
    frame = read_predictions(request.folder / "predictions.parquet")
    stored = frame[frame["split"] == "test"][COLUMNS].to_numpy()
    found = classifier.predict_images(images)
    np.testing.assert_allclose(found, stored, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    one = classifier.classify(images[0])
    assert one["warm"] == pytest.approx(stored[0, 0], abs=1e-5)

    # an oracle: the tiles by hand, through the same network without tiles
    uncut = dataclasses.replace(
        classifier, preprocessing=dataclasses.replace(classifier.preprocessing, tiles=None)
    )
    uncut = dataclasses.replace(uncut, tiles=type(classifier.tiles)())
    pixels = np.asarray(images[0])
    height, width = pixels.shape[:2]
    tiles = []
    for row in range(2):
        for column in range(3):
            part = pixels[
                row * height // 2 : (row + 1) * height // 2,
                column * width // 3 : (column + 1) * width // 3,
            ]
            tiles.append(Image.fromarray(part))
    scores = uncut.predict_images(tiles)
    expected = scores.mean(axis=0)
    if join == "max":
        expected = scores.max(axis=0) / scores.max(axis=0).sum()
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_a_single_tile_is_the_image_bit_for_bit(tiled, make_request, data_set: DataSet) -> None:
    single = tiled("1x1", epochs=1)
    whole = single.model_copy(update={"folder": make_request().folder})
    spec = DataSpec(source="folder", image_size=IMAGE_SIZE, view="squash")
    assert single.trial.data == spec
    assert "tiles" not in spec.model_dump()
    outcome_of(single)
    outcome_of(whole)
    first = (single.folder / "predictions.parquet").read_bytes()
    assert first == (whole.folder / "predictions.parquet").read_bytes()


def test_shots_are_images_and_all_of_their_tiles_are_used(tiled, store: ImageStore) -> None:
    request = tiled("2x2", shots=2)
    cut = open_store(request.store_path)
    recipe = request.trial.recipe
    images = images_in_use(recipe, cut, seed=0)
    # those that a trial on whole images draws
    np.testing.assert_array_equal(images, images_in_use(recipe, store, seed=0))
    sampling = train_sampling(recipe, cut, seed=0)
    np.testing.assert_array_equal(sampling.rows // 4, np.repeat(images, 4))
    np.testing.assert_array_equal(sampling.rows % 4, np.tile(np.arange(4), len(images)))


def test_the_cost_of_an_image_is_that_of_its_tiles(tiled) -> None:
    whole = outcome_of(tiled("1x1", epochs=1)).metrics
    four = outcome_of(tiled("2x2", epochs=1)).metrics
    assert four["cost/macs"] == 4 * whole["cost/macs"]
    assert four["cost/disk_mb"] == whole["cost/disk_mb"]
    assert four["n_steps"] > 3 * whole["n_steps"]


def test_kept_activations_of_tiles_are_those_of_a_whole_network(tiled, tmp_path: Path) -> None:
    alone = outcome_of(tiled("2x2", epochs=1)).metrics
    kept = outcome_of(tiled("2x2", epochs=1, cache=tmp_path / "cache")).metrics
    assert kept["test/macro_f1"] == pytest.approx(alone["test/macro_f1"], abs=0.005)
