"""A kept backbone gives the network that loading anew gives, to the bit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from ablate.model import drawn_head, kept_backbone
from ablate.model.network import Network, build_network
from ablate.recipe.recipe import Recipe


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    kept_backbone._kept.clear()
    yield
    kept_backbone._kept.clear()


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of a small ViT in a file of the working folder."""
    monkeypatch.chdir(tmp_path)
    return write_weights(Path("vit.safetensors"), seed=0)


def write_weights(path: Path, *, seed: int) -> Path:
    torch.manual_seed(seed)
    save_file(timm.create_model("test_vit", num_classes=3).state_dict(), path)
    return path


def network(weights: str, *, seed: int = 0, **fields: Any) -> Network:
    backbone = "tf_efficientnet_lite0" if weights == "auto" else "test_vit"
    recipe = Recipe(backbone=backbone, weights=weights, **fields)
    return build_network(recipe, n_classes=5, image_size=64, seed=seed)


def assert_equal(first: Network, second: Network) -> None:
    states = [first.module.state_dict(), second.module.state_dict()]
    assert list(states[0]) == list(states[1])
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
    assert first.weights == second.weights
    assert first.pooling == second.pooling


RECIPES: dict[str, dict[str, Any]] = {
    "probe": {"freeze_depth": "all"},
    "full": {"freeze_depth": 0},
    "lora": {"freeze_depth": "all", "lora_rank": 2, "adapter_units": 1},
    "pooled": {"freeze_depth": "all", "pooling": "max"},
}


@pytest.mark.parametrize("case", RECIPES)
@pytest.mark.parametrize("is_file", [False, True])
def test_the_second_trial_has_the_network_that_it_would_have_alone(
    weights: Path, case: str, *, is_file: bool
) -> None:
    source = str(weights) if is_file else "auto"
    fields = RECIPES[case]
    if is_file and case == "pooled":
        fields = {**fields, "pooling": "avg"}
    network(source, seed=1, **fields)
    assert len(kept_backbone._kept) == 1
    second = network(source, seed=2, **fields)
    kept_backbone._kept.clear()
    assert_equal(second, network(source, seed=2, **fields))


def test_training_one_trial_leaves_the_next_one_alone(weights: Path) -> None:
    first = network(str(weights), freeze_depth=0)
    with torch.no_grad():
        for parameter in first.module.parameters():
            parameter.add_(1.0)
    second = network(str(weights), freeze_depth=0)
    kept_backbone._kept.clear()
    assert_equal(second, network(str(weights), freeze_depth=0))


def test_a_file_that_is_replaced_is_read_again(weights: Path) -> None:
    before = network(str(weights)).weights
    # as large as before: only its time of change differs
    write_weights(weights, seed=1)
    status = weights.stat()
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert network(str(weights)).weights.digest != before.digest


def test_random_weights_are_drawn_for_every_trial() -> None:
    first = network("none", seed=0)
    second = network("none", seed=1)
    assert not kept_backbone._kept
    name = "patch_embed.proj.weight"
    assert not torch.equal(first.module.get_parameter(name), second.module.get_parameter(name))


def test_large_backbones_are_not_kept(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_backbone, "MOST_BYTES", 1000)
    network(str(weights))
    assert not kept_backbone._kept


def test_a_head_that_torch_cannot_reset_is_not_kept(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parameters would be those of the trial that loaded it."""
    monkeypatch.setattr(drawn_head, "classifier_names", lambda module: ())
    network(str(weights))
    assert not kept_backbone._kept
