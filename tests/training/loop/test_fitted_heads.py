"""Classifiers fitted on features, beside scikit-learn's own predictions on the same features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from support.untyped import untyped

from ablate.data.augment import clean
from ablate.data.store import ImageStore
from ablate.errors import SpecError
from ablate.model.linear_head import check_rows
from ablate.model.network import build_network, check_recipe
from ablate.recipe.canonical import canonical, contradiction
from ablate.recipe.recipe import Recipe
from ablate.study.trial_facts import TrainImages
from ablate.tracking.artifacts import read_predictions
from ablate.training.serving.export import export_complete
from ablate.training.serving.predict import load_classifier
from ablate.training.trial_run import run_trial


def _features(request, store: ImageStore, split: str) -> np.ndarray:
    """As timm gives them."""
    network = build_network(request.trial.recipe, n_classes=3, image_size=64, seed=0)
    module = untyped(network.module.eval())
    images = clean(store.split(split).images, range(len(store.split(split).labels)), image_size=64)
    with torch.no_grad():
        pooled = module.forward_head(
            module.forward_features(network.preprocessing.normalised(images)), pre_logits=True
        )
    return np.asarray(pooled.double().numpy())


def _stored(request) -> np.ndarray:
    frame = read_predictions(request.folder / "predictions.parquet")
    return np.asarray(frame[frame["split"] == "test"][["p_0", "p_1", "p_2"]].to_numpy())


@pytest.mark.slow
@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("classifier", ["logistic", "ridge", "knn"])
def test_predictions_are_scikit_learns(
    make_request, store: ImageStore, tmp_path: Path, classifier: str, weighed: bool
) -> None:
    fields = {
        "classifier": classifier,
        "classifier_l2": 2.0,
        "neighbours": 4,
        "class_weights": "balanced" if weighed else "none",
    }
    request = make_request(**fields, cache=tmp_path / "cache")
    outcome = run_trial(request, lambda *_: None)
    train, test, labels = (
        _features(request, store, "train"),
        _features(request, store, "test"),
        store.split("train").labels,
    )
    weight = "balanced" if weighed else None
    if classifier == "knn":
        expected = (
            KNeighborsClassifier(4, weights="distance", metric="cosine")
            .fit(train, labels)
            .predict_proba(test)
        )
    else:
        mean, scale = train.mean(0), np.sqrt(((train - train.mean(0)) ** 2).mean())
        model = (
            LogisticRegression(C=0.5, max_iter=5000, class_weight=weight)
            if classifier == "logistic"
            else RidgeClassifier(2.0, class_weight=weight)
        )
        logits = torch.from_numpy(
            model.fit((train - mean) / scale, labels).decision_function((test - mean) / scale)
        )
        expected = torch.softmax(logits, 1).numpy()
    np.testing.assert_allclose(_stored(request), expected, atol=5e-3)
    assert outcome.metrics["n_steps"] == 0
    assert outcome.facts.prefix is not None
    assert outcome.facts.prefix[0].at is not None


@pytest.mark.slow
@pytest.mark.parametrize("classifier", ["logistic", "ridge"])
def test_a_fitted_head_is_served_as_any_other(
    make_request, store: ImageStore, classifier: str
) -> None:
    request = make_request(classifier=classifier)
    run_trial(request, lambda *_: None)
    served = load_classifier(export_complete(request.folder, request.folder / "whole"))
    np.testing.assert_allclose(
        served.predict(np.asarray(store.split("test").images)), _stored(request), atol=1e-4
    )


def test_neighbours_are_not_exported(make_request) -> None:
    request = make_request(classifier="knn")
    run_trial(request, lambda *_: None)
    with pytest.raises(SpecError) as caught:
        export_complete(request.folder, request.folder / "whole")
    assert str(caught.value) == (
        "nearest neighbours keep the train images' features instead of weights and cannot be "
        "exported; take logistic, ridge or linear"
    )


def test_two_classes_have_the_probabilities_of_the_model(make_request) -> None:
    from ablate.training.loop.fitted_heads import _fit_linear, known_features

    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(40, 6)) * [1, 2, 3, 4, 5, 0], np.repeat([0, 1], 20)
    values[labels == 1] += 1
    head = torch.nn.Linear(6, 2)
    _fit_linear(head, known_features(values, labels), Recipe(classifier="logistic"), None)
    scaled = (values - values.mean(0)) / np.sqrt(values.var(0).mean())
    expected = LogisticRegression(max_iter=5000).fit(scaled, labels).predict_proba(scaled)
    np.testing.assert_allclose(
        torch.softmax(head(torch.from_numpy(values).float()), 1).detach().numpy(),
        expected,
        atol=2e-3,
    )


def test_few_shots_are_what_is_fitted(make_request) -> None:
    facts = run_trial(make_request(classifier="logistic", shots=2), lambda *_: None).facts
    assert facts.train_images == TrainImages(n_used=6, n_all=19, shots=2)


def test_only_what_matters_names_a_fitted_arm() -> None:
    same = [
        Recipe(classifier="ridge", head_lr=lr, epochs=epochs, sampler=sampler)
        for lr, epochs, sampler in ((1e-3, 3, "shuffle"), (1e-1, 9, "balanced"))
    ]
    assert canonical(same[0]) == canonical(same[1])
    assert canonical(Recipe(classifier="ridge", classifier_l2=3.0)) != canonical(same[0])
    assert canonical(Recipe(classifier="knn", neighbours=3)) != canonical(Recipe(classifier="knn"))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (
            {"freeze_depth": -1},
            "a fitted classifier needs a trunk that is frozen whole: freeze_depth all",
        ),
        ({"lora_rank": 4}, "a fitted classifier trains no adapters"),
        (
            {"augment": "light"},
            "a fitted classifier sees clean images once: no augmentation and no mixing",
        ),
        (
            {"mixup": 0.2},
            "a fitted classifier sees clean images once: no augmentation and no mixing",
        ),
    ],
)
def test_what_cannot_be_fitted_is_left_out_with_the_reason(
    fields: dict[str, Any], why: str
) -> None:
    assert contradiction(Recipe(classifier="logistic", **fields)) == why


@pytest.mark.slow
@pytest.mark.parametrize("classifier", ["logistic", "ridge", "knn"])
@pytest.mark.parametrize(
    "backbone", ["deit_tiny_distilled_patch16_224", "resnetv2_50x1_bit.goog_in21k"]
)
def test_a_head_that_cannot_be_fitted_is_refused_before_anything_starts(
    backbone: str, classifier: str
) -> None:
    """Two heads; a convolution as the head."""
    recipe = Recipe(backbone=backbone, weights="none", classifier=classifier)
    with pytest.raises(SpecError) as caught:
        check_recipe(recipe, n_classes=3, image_size=64)
    assert (
        str(caught.value)
        == f"classifier: {classifier} needs a head that is one linear layer with a bias, that of "
        f"{backbone} is not; take linear"
    )


def test_a_head_that_sees_more_than_a_row_is_refused() -> None:
    recipe = Recipe(backbone="somebody", classifier="ridge")
    head = torch.nn.Linear(3, 2, device="meta")
    module = torch.nn.Sequential(torch.nn.Flatten(2), torch.nn.Linear(64, 3, device="meta"), head)
    with pytest.raises(SpecError) as caught:
        check_rows(module, head, recipe, image_size=8)
    assert (
        str(caught.value)
        == "classifier: ridge needs one row of features per image, the head of somebody sees "
        "something else; take linear"
    )
