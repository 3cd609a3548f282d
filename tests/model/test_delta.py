from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.model_zoo import build, images_of, predict, snapshot, train

from ablate.errors import WeightsError
from ablate.model.delta import delta, load_delta, movable
from ablate.recipe.recipe import Recipe

_CASES: dict[str, dict[str, Any]] = {
    "probe": {"freeze_depth": "all"},
    "last unit": {"freeze_depth": -1},
    "full": {"freeze_depth": 0},
    "full, statistics fixed": {"freeze_depth": 0, "batch_norm": "affine"},
    "lora": {"freeze_depth": "all", "lora_rank": 2},
    "lora and last unit": {"freeze_depth": -1, "lora_rank": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", _CASES)
@pytest.mark.parametrize(
    "backbone", ["test_efficientnet", "test_vit", "swin_tiny_patch4_window7_224"]
)
def test_a_saved_delta_predicts_the_same_in_a_fresh_network(
    backbone: str, case: str, tmp_path: Path
) -> None:
    trained = build(backbone, image_size=64, **_CASES[case])
    untrained = snapshot(trained)
    train(trained, Recipe(head_lr=0.01, lr_ratio=1.0))
    path = tmp_path / "delta.safetensors"
    save_file(delta(trained), path)

    fresh = build(backbone, image_size=64, **_CASES[case])
    images = images_of(fresh)
    assert not torch.equal(predict(fresh, images), predict(trained, images))
    load_delta(fresh, load_file(path))
    assert torch.equal(predict(fresh, images), predict(trained, images))
    after = snapshot(trained)
    moved = {name for name in after if not torch.equal(after[name], untrained[name])}
    assert moved <= delta(trained).keys()


def test_a_delta_of_a_probe_is_the_head_alone() -> None:
    assert set(delta(build("test_efficientnet", image_size=64))) == {
        "classifier.weight",
        "classifier.bias",
    }


def test_a_delta_is_a_copy() -> None:
    network = build("test_vit", image_size=64)
    saved = delta(network)
    kept = saved["head.weight"].clone()
    train(network, Recipe(head_lr=0.1))
    assert torch.equal(saved["head.weight"], kept)


def test_a_delta_of_another_recipe_changes_nothing() -> None:
    network = build("test_vit", image_size=64)
    before = snapshot(network)
    state = delta(network)
    del state["head.bias"]
    with pytest.raises(WeightsError) as caught:
        load_delta(network, {"head.weight": torch.zeros(2, 2), "norm.bias": torch.zeros(3)})
    assert str(caught.value) == (
        "a delta must hold exactly the tensors that the recipe trains, it differs in ['head.bias', "
        "'norm.bias', 'head.weight']; was it saved by another recipe?"
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in snapshot(network).items())


@pytest.mark.parametrize("case", _CASES)
def test_what_may_move_is_what_torch_names(case: str) -> None:
    network = build("test_efficientnet", image_size=64, **_CASES[case])
    module = network.module
    named = dict(module.named_parameters())
    wanted = [name for name in named if name not in network.boundary.frozen_names]
    resting = {id(child) for child in network.boundary.resting}
    moving = {name for name, child in module.named_modules() if id(child) not in resting}
    for name, _ in module.named_buffers():
        if name in module.state_dict() and name.rpartition(".")[0] in moving:
            wanted.append(name)
    assert list(movable(network)) == wanted
