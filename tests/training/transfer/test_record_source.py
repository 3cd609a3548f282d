"""What the pretrained classifier says is recorded once, and is what it says when it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ablate.data.augment import clean
from ablate.data.store import open_store
from ablate.model.network import Network, build_network
from ablate.study.request import Compute, TrialRequest
from ablate.training.feeds.rows import CacheUse
from ablate.training.transfer.co_tuning import LabelledLogits, category_relationship
from ablate.training.transfer.record_source import record_source
from ablate.training.transfer.source_outputs import SourceOutputs
from ablate.training.trial_run import run_trial

FREE: dict[str, Any] = {"freeze_depth": -1, "augment": "strong", "mixup": 0.2}


def build(request: TrialRequest, compute: Compute) -> Network:
    assert compute.device == "cpu"
    recipe = request.trial.recipe
    assert recipe.freeze_depth == "all"
    return build_network(recipe, n_classes=3, image_size=64, seed=request.trial.seed)


def recorded(request: TrialRequest, use: CacheUse | None = None) -> SourceOutputs:
    store = open_store(request.store_path)
    outputs = record_source(request, store, request.compute, build=build, use=use or CacheUse())
    assert outputs is not None
    return outputs


def on_the_fly(request: TrialRequest, split: str) -> torch.Tensor:
    """The whole pretrained network, classifier and all, over each clean image by itself."""
    recipe = request.trial.recipe
    network = build_network(recipe, n_classes=7, image_size=64, seed=0)
    network.module.load_state_dict(load_file(recipe.weights))
    network.module.eval()
    store = open_store(request.store_path)
    images = store.split(split).images
    rows = []
    with torch.no_grad():
        for number in range(len(store.split(split).labels)):
            square = clean(images, [number], image_size=64)
            rows.append(network.module(network.preprocessing.normalised(square)))
    return torch.cat(rows)


@pytest.mark.parametrize("is_kept", [True, False])
def test_what_is_kept_is_what_the_network_says(
    make_request, pretrained, tmp_path, is_kept: bool
) -> None:
    cache = tmp_path / "cache" if is_kept else None
    request = make_request(**FREE, **pretrained(), lwf=1.0, cache=cache)
    first, again = recorded(request), recorded(request)
    assert first.train.shape == (19, 7)
    assert first.relationship is None
    torch.testing.assert_close(first.train, on_the_fly(request, "train"), atol=1e-5, rtol=1e-4)
    assert torch.equal(first.train, again.train)


def test_all_arms_and_seeds_and_a_probe_share_one_pass(make_request, pretrained, tmp_path) -> None:
    """In the same rows: whoever comes first computes them."""
    cache = tmp_path / "cache"
    probe = make_request(freeze_depth="all", **pretrained(), cache=cache)
    run_trial(probe, lambda *_: None)
    n_kept = len(list(cache.glob("*/meta.json")))
    first = CacheUse()
    recorded(make_request(**FREE, **pretrained(), lwf=1.0, cache=cache), first)
    recorded(make_request(**FREE, **pretrained(), lwf=3.0, seed=4, shots=2, cache=cache))
    recorded(make_request(freeze_depth=0, **pretrained(), co_tuning=1.0, cache=cache))
    assert len(list(cache.glob("*/meta.json"))) == n_kept
    assert first.build_s == 0.0
    # views are counted by the plan, which knows those of trials alone
    assert (first.n_built, first.n_reused) == (0, 0)


def test_the_relationship_is_of_the_images_in_use(make_request, pretrained) -> None:
    request = make_request(**FREE, **pretrained(), co_tuning=1.0, shots=2)
    outputs = recorded(request)
    train, val = on_the_fly(request, "train"), on_the_fly(request, "val")
    store = open_store(request.store_path)
    labels = store.split("train").labels
    of_all, _ = category_relationship(
        LabelledLogits(train, labels), LabelledLogits(val, store.split("val").labels), n_classes=3
    )
    assert outputs.relationship is not None
    assert outputs.relationship.shape == (3, 7)
    assert not torch.allclose(outputs.relationship, of_all)
    whole = recorded(make_request(**FREE, **pretrained(), co_tuning=1.0))
    torch.testing.assert_close(whole.relationship, of_all, atol=1e-5, rtol=1e-3)


def test_nothing_is_recorded_where_nothing_needs_it(make_request, pretrained, tmp_path) -> None:
    for fields in ({"delta": 1.0, "bss": 1.0}, {"lwf": 1.0, "freeze_depth": "all"}):
        recipe = {"freeze_depth": -1, **pretrained(), **fields}
        request = make_request(**recipe, cache=tmp_path / "cache")
        store = open_store(request.store_path)
        use = CacheUse()
        assert record_source(request, store, request.compute, build=build, use=use) is None
    assert not Path(tmp_path / "cache").exists()


def test_two_trials_of_one_recipe_are_equal_with_and_without_a_cache_that_has_it(
    make_request, pretrained, tmp_path
) -> None:
    recipe = {"freeze_depth": -1, **pretrained(), "lwf": 1.0, "co_tuning": 1.0}
    cold = make_request(**recipe, cache=tmp_path / "cache")
    warm = make_request(**recipe, cache=tmp_path / "cache")
    first, second = run_trial(cold, lambda *_: None), run_trial(warm, lambda *_: None)
    assert {k: v for k, v in first.metrics.items() if k.startswith(("val/", "test/"))} == {
        k: v for k, v in second.metrics.items() if k.startswith(("val/", "test/"))
    }
    one, other = (load_file(each.folder / "delta.safetensors") for each in (cold, warm))
    assert all(torch.equal(one[name], other[name]) for name in one)
