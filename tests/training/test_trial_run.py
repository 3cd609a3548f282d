"""A trial from request to outcome, and the fast path beside the slow one that proves it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ablate.data.store import ImageStore
from ablate.errors import TrialError
from ablate.metrics.classification import score
from ablate.model.network import build_network
from ablate.study.request import CheckpointSpec, TrialRequest
from ablate.study.trial_facts import PrefixCut
from ablate.tracking.artifacts import read_predictions
from ablate.tracking.events import TrialOutcome
from ablate.training.serving.export import export_complete
from ablate.training.serving.predict import load_classifier
from ablate.training.tasks.classification import Classification
from ablate.training.trial_run import run_trial

Epochs = list[tuple[int, int, dict[str, float]]]


def _run(request: TrialRequest) -> tuple[TrialOutcome, Epochs]:
    epochs: Epochs = []
    return run_trial(request, lambda *epoch: epochs.append(epoch)), epochs


def _scores(outcome: TrialOutcome) -> dict[str, float]:
    return {
        name: value for name, value in outcome.metrics.items() if name.startswith(("val/", "test/"))
    }


def test_the_outcome_is_that_of_the_best_epoch_and_of_the_stored_predictions(
    make_request, store: ImageStore
) -> None:
    request = make_request(freeze_depth=0, epochs=4, head_lr=1e-2)
    outcome, epochs = _run(request)
    history = [metrics["val/macro_f1"] for _, _, metrics in epochs]
    assert outcome.best_epoch == history.index(max(history))
    assert outcome.metrics["val/macro_f1"] == max(history)
    frame = read_predictions(request.folder / "predictions.parquet")
    for name in ("val", "test"):
        own = frame[frame["split"] == name]
        probabilities = own[[f"p_{index}" for index in range(3)]].to_numpy()
        assert tuple(own["image_id"]) == store.split(name).image_ids
        for metric, value in score(probabilities, own["label"].to_numpy()).items():
            assert outcome.metrics[f"{name}/{metric}"] == pytest.approx(value, abs=1e-6)
    assert "train" not in set(frame["split"])


def test_a_trial_is_the_same_every_time(make_request) -> None:
    first, second = (
        _run(make_request(freeze_depth=-1, augment="light", lora_rank=0)) for _ in range(2)
    )
    assert _scores(first[0]) == _scores(second[0])
    assert [metrics["train/loss"] for _, _, metrics in first[1]] == [
        metrics["train/loss"] for _, _, metrics in second[1]
    ]


def test_torchs_global_generator_is_left_alone(make_request) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    _run(make_request(epochs=1, augment="strong"))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    [
        {"freeze_depth": "all"},
        {"freeze_depth": -1, "batch_norm": "frozen"},
        {"freeze_depth": "all", "lora_rank": 2},
    ],
)
def test_what_is_frozen_is_bit_equal_after_training(
    make_request, recipe: dict[str, object]
) -> None:
    request = make_request(**recipe, head_lr=1e-2)
    _run(request)
    trial = request.trial
    fresh = build_network(trial.recipe, n_classes=3, image_size=64, seed=0)
    saved = load_file(request.folder / "delta.safetensors")
    trainable = {
        name for name, parameter in fresh.module.named_parameters() if parameter.requires_grad
    }
    assert saved.keys() >= trainable
    assert not saved.keys() & set(fresh.boundary.frozen_names)
    export = export_complete(request.folder, request.folder / "whole")
    whole = load_file(export / "model.safetensors")
    for name, tensor in fresh.module.state_dict().items():
        if name not in saved and ".base_layer." not in name:  # a merged adapter is in its base
            assert torch.equal(whole[name], tensor), name
    assert any(not torch.equal(saved[name], fresh.module.state_dict()[name]) for name in trainable)


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone",
    [
        "test_efficientnet",
        "test_vit",
        "vit_tiny_patch16_224",
        "swin_tiny_patch4_window7_224",
        "test_resnet",
    ],
)
@pytest.mark.parametrize(
    "recipe", [{"freeze_depth": "all"}, {"freeze_depth": -1}], ids=["probe", "last unit"]
)
def test_the_shared_prefix_gives_what_the_whole_network_gives(
    make_request, tmp_path: Path, backbone: str, recipe: dict[str, object]
) -> None:
    recipe = {**recipe, "backbone": backbone, "augment": "light", "head_lr": 1e-2}
    direct, direct_epochs = _run(make_request(**recipe))
    cold, cold_epochs = _run(make_request(**recipe, cache=tmp_path / "cache"))
    warm, _ = _run(make_request(**recipe, cache=tmp_path / "cache"))
    assert cold.facts.prefix is not None
    assert cold.facts.prefix[0].at is not None
    assert direct.facts.prefix == (PrefixCut(why_uncut="not asked for"),)
    assert (warm.facts.views_computed, warm.facts.views_from_cache) == (0, 4)
    assert _scores(cold) == _scores(warm)
    assert cold.best_epoch == direct.best_epoch
    for name in ("val/macro_f1", "test/macro_f1"):
        assert cold.metrics[name] == pytest.approx(direct.metrics[name], abs=0.005)
    losses = [
        [metrics["train/loss"] for _, _, metrics in epochs]
        for epochs in (direct_epochs, cold_epochs)
    ]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)


def test_arms_that_freeze_alike_share_views_and_those_that_do_not_do_not(
    make_request, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    _run(make_request(freeze_depth=-1, augment="light", cache=cache))
    same, _ = _run(make_request(freeze_depth=-1, augment="light", lr_ratio=0.5, cache=cache))
    assert (same.facts.views_computed, same.facts.views_from_cache) == (0, 4)
    other_seed, _ = _run(make_request(freeze_depth=-1, augment="light", seed=1, cache=cache))
    assert (other_seed.facts.views_computed, other_seed.facts.views_from_cache) == (
        4,
        0,
    )  # weights: none draws another trunk for another seed


def test_a_loss_that_is_not_finite_ends_the_trial_and_names_the_step(make_request) -> None:
    with pytest.raises(TrialError) as caught:
        _run(make_request(freeze_depth=0, head_lr=1e30, lr_ratio=1.0, optimizer="sgd", warmup=0.0))
    assert str(caught.value) in {
        f"the loss must stay finite, got {value} at step {step} (epoch 0); try a lower head_lr or "
        f"lr_ratio, or precision: fp32"
        for value in ("nan", "inf")
        for step in (1, 2)
    }


def test_patience_ends_training(make_request) -> None:
    outcome, epochs = _run(make_request(freeze_depth="all", head_lr=1e-12, epochs=10, patience=2))
    assert len(epochs) == 3
    assert outcome.best_epoch == 0
    assert outcome.metrics["n_epochs"] == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("adapter", "why_not"),
    [
        ({"lora_rank": 2}, ""),
        ({"adapter": "ssf"}, ""),
        ({"adapter": "norm_tuning"}, ""),
        (
            {"adapter": "vpt", "backbone": "test_vit"},
            "prompts are inputs, no weight can hold them",
        ),
    ],
    ids=str,
)
def test_an_exported_champion_classifies_as_it_did_in_the_study(
    make_request, stores: Callable[[str], ImageStore], adapter: dict[str, object], why_not: str
) -> None:
    request = make_request(freeze_depth="all", head_lr=1e-2, lr_ratio=1.0, **adapter)
    outcome, _ = _run(request)
    assert outcome.facts.adapter == adapter.get("adapter", "lora")
    merge = outcome.facts.adapter_merge
    assert merge is not None
    assert merge.why_not == why_not
    if not why_not:
        assert merge.n_images == 8
        assert merge.difference is not None
        assert merge.difference <= (0.0 if outcome.facts.adapter == "norm_tuning" else 1e-5)
    store = stores(request.trial.recipe.backbone)
    export = export_complete(request.folder, request.folder / "whole")
    has_adapters = any(
        part in name
        for name in load_file(export / "model.safetensors")
        for part in ("base_layer", "lora_", "prompts")
    )
    assert has_adapters == bool(why_not)
    classifier = load_classifier(export)
    frame = read_predictions(request.folder / "predictions.parquet")
    stored = frame[frame["split"] == "test"][["p_0", "p_1", "p_2"]].to_numpy()
    again = classifier.predict(np.asarray(store.split("test").images))
    np.testing.assert_allclose(again, stored, atol=1e-5)
    ranked = classifier.classify(Image.fromarray(store.split("test").images[0]))
    assert list(ranked) == [classifier.class_names[index] for index in np.argsort(-again[0])]


def test_a_trial_describes_itself(make_request) -> None:
    request = make_request(epochs=1)
    outcome, _ = _run(request)
    described = json.loads((request.folder / "trial.json").read_text())
    assert described["trial_id"] == request.trial.trial_id
    assert described["class_names"] == ["warm", "cold", "striped"]
    assert set(outcome.files) == {path.name for path in request.folder.iterdir()}
    assert outcome.metrics["cost/peak_memory_mb"] > 50
    assert outcome.metrics["cost/n_trainable"] == 256 * 3 + 3


def test_the_recipes_own_precision_wins(make_request) -> None:
    outcome, _ = _run(make_request(epochs=1, precision="fp32"))
    assert outcome.facts.precision == "fp32"
    request = make_request(epochs=1)
    bf16 = request.model_copy(
        update={
            "trial": request.trial.model_copy(
                update={"recipe": request.trial.recipe.model_copy(update={"precision": "bf16"})}
            )
        }
    )
    assert _run(bf16)[0].facts.precision == "bf16"


NOT_SCORES = [math.nan, math.inf, -math.inf]


def _scored(monkeypatch: pytest.MonkeyPatch, values: Sequence[float]) -> None:
    """Have the epochs' val macro F1 be `values`; what is scored after them is scored as it is."""
    left, evaluate = iter(values), Classification.evaluate

    def told(self: Classification, *what: Any) -> dict[str, float]:
        scores = evaluate(self, *what)
        return {**scores, "macro_f1": next(left, scores["macro_f1"])}

    monkeypatch.setattr(Classification, "evaluate", told)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "best"),
    [([0.2, value, 0.1], 0) for value in NOT_SCORES]
    + [([value, 0.1, 0.3], 2) for value in NOT_SCORES],
)
def test_an_epoch_without_a_finite_score_is_never_the_best(
    make_request, monkeypatch: pytest.MonkeyPatch, values: list[float], best: int
) -> None:
    _scored(monkeypatch, values)
    outcome = run_trial(make_request(epochs=3), lambda *_: None)
    assert (outcome.best_epoch, outcome.metrics["val/macro_f1"]) == (best, values[best])


@pytest.mark.slow
@pytest.mark.parametrize("value", NOT_SCORES)
@pytest.mark.parametrize(
    "recipe",
    [
        {"epochs": 2},
        {"classifier": "logistic"},
        {"strategy": "lp_ft", "epochs": 2, "freeze_depth": 0},
    ],
    ids=str,
)
def test_a_trial_without_a_finite_score_fails(
    make_request, monkeypatch: pytest.MonkeyPatch, value: float, recipe: dict[str, object]
) -> None:
    _scored(monkeypatch, [value] * 4)
    request = make_request(**recipe)
    kept = request.model_copy(
        update={"checkpoint": CheckpointSpec(folder=request.folder / "checkpoint", every_s=0)}
    )
    with pytest.raises(TrialError) as caught:
        run_trial(kept, lambda *_: None)
    assert str(caught.value) == (
        f"val/macro_f1 must be a finite number after some epoch, got {value:g} after every one; "
        f"select by a score that the val images allow, or lower head_lr"
    )
