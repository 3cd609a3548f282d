"""Few-shot subsets and samplers: nested, stratified, the same for every arm of a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from ablate.study.trial_facts import TrainImages
from ablate.training.feeds.sampling import Sampling, every_image, few_shot_rows
from ablate.training.trial_run import run_trial

LABELS = np.repeat(np.arange(4), [40, 20, 8, 3])
IDS = [f"image-{number}" for number in range(len(LABELS))]


def test_subsets_are_nested_and_stratified() -> None:
    drawn = {shots: few_shot_rows(LABELS, IDS, shots=shots, seed=3) for shots in (1, 3, 5, 10)}
    assert {shots: np.bincount(LABELS[rows]).tolist() for shots, rows in drawn.items()} == {
        1: [1] * 4,
        3: [3] * 4,
        5: [5, 5, 5, 3],
        10: [10, 10, 8, 3],
    }
    assert set(drawn[1]) < set(drawn[3]) < set(drawn[5]) < set(drawn[10])
    assert np.array_equal(drawn[5], np.sort(drawn[5]))


def test_the_seed_draws_the_subset_and_null_is_all() -> None:
    assert not np.array_equal(
        few_shot_rows(LABELS, IDS, shots=5, seed=0), few_shot_rows(LABELS, IDS, shots=5, seed=1)
    )
    assert np.array_equal(
        few_shot_rows(LABELS, IDS, shots=5, seed=0), few_shot_rows(LABELS, IDS, shots=5, seed=0)
    )
    assert np.array_equal(few_shot_rows(LABELS, IDS, shots=None, seed=0), np.arange(len(LABELS)))


@pytest.mark.parametrize(
    ("sampler", "shares"),
    [("balanced", [0.25] * 4), ("sqrt", np.sqrt([40, 20, 8, 3]) / np.sqrt([40, 20, 8, 3]).sum())],
)
def test_a_sampler_draws_classes_in_its_shares(sampler: str, shares: list[float]) -> None:
    sampling = Sampling(np.arange(len(LABELS)), LABELS, sampler)  # type: ignore[arg-type]
    epochs = [sampling.epoch(seed=0, epoch=epoch) for epoch in range(200)]
    assert {len(epoch) for epoch in epochs} == {len(LABELS)}
    assert np.bincount(LABELS[np.concatenate(epochs)]) / (200 * len(LABELS)) == pytest.approx(
        shares, abs=0.02
    )
    assert np.array_equal(epochs[7], sampling.epoch(seed=0, epoch=7)) and not np.array_equal(
        epochs[7], epochs[8]
    )


def test_a_shuffle_shows_each_image_once() -> None:
    assert sorted(every_image(LABELS).epoch(seed=1, epoch=2)) == list(range(len(LABELS)))


@pytest.mark.slow
@pytest.mark.parametrize("freeze_depth", ["all", -1])
def test_a_few_shot_trial_is_the_same_with_the_whole_splits_cache(
    make_request, tmp_path: Path, freeze_depth: object
) -> None:
    """Rows of the cache that an arm without shots made are selected, not computed again.

    Weights and steps follow the subset.
    """
    recipe = {
        "freeze_depth": freeze_depth,
        "augment": "light",
        "shots": 3,
        "class_weights": "balanced",
        "head_lr": 1e-2,
    }
    run_trial(
        make_request(freeze_depth=freeze_depth, augment="light", cache=tmp_path / "cache"),
        lambda *_: None,
    )
    cached = make_request(**recipe, cache=tmp_path / "cache")
    outcome = run_trial(cached, lambda *_: None)
    assert (outcome.facts.views_computed, outcome.facts.views_from_cache) == (0, 4)
    assert outcome.facts.train_images == TrainImages(n_used=9, n_all=19, shots=3)
    assert outcome.facts.class_weights == (1.0, 1.0, 1.0)
    assert (
        outcome.metrics["n_steps"] == 2
    )  # 2 epochs of one batch of 9: a last batch of one joins the one before
    direct = make_request(**recipe)
    run_trial(direct, lambda *_: None)
    for name, tensor in load_file(cached.folder / "delta.safetensors").items():
        assert np.allclose(
            tensor.numpy(), load_file(direct.folder / "delta.safetensors")[name].numpy(), atol=1e-5
        ), name


def test_classes_with_too_few_images_are_told(make_request) -> None:
    outcome = run_trial(make_request(epochs=1, shots=6), lambda *_: None)
    assert outcome.facts.train_images == TrainImages(
        n_used=17, n_all=19, shots=6, n_short_classes=1
    )


def test_the_sampler_reaches_training(make_request) -> None:
    losses = []
    for sampler in ("shuffle", "balanced", "sqrt"):
        run_trial(
            make_request(epochs=1, batch_size=4, sampler=sampler),
            lambda _e, _n, metrics: losses.append(metrics["train/loss"]),
        )
    assert len(set(losses)) == 3
