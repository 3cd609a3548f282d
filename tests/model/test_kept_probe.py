"""A probe on the network of the one before it equals a probe alone, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from ablate.model import kept_backbone, kept_probe
from ablate.model.kept_probe import keep_probe, probe_key, take_probe
from ablate.model.network import Network, build_network
from ablate.recipe.recipe import Recipe


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    kept_probe._kept.clear()
    yield
    kept_probe._kept.clear()
    kept_backbone._kept.clear()


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Weights of a small network with BatchNorms in a file of the working folder."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = timm.create_model("test_efficientnet", num_classes=3)
    save_file(model.state_dict(), "weights.safetensors")
    return "weights.safetensors"


def recipe_of(weights: str, **fields: Any) -> Recipe:
    return Recipe(backbone="test_efficientnet", weights=weights, **fields)


def key_of(recipe: Recipe) -> Any:
    return probe_key(recipe, n_classes=5, image_size=64, compute="cpu")


def network_of(recipe: Recipe, *, seed: int) -> Network:
    return build_network(recipe, n_classes=5, image_size=64, seed=seed)


def train(network: Network) -> None:
    """Move what learns, and leave gradients behind."""
    network.train()
    network.module(torch.randn(4, 3, 64, 64)).square().sum().backward()
    with torch.no_grad():
        for parameter in network.module.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad)


def assert_equal(first: Network, second: Network) -> None:
    states = first.module.state_dict(), second.module.state_dict()
    assert list(states[0]) == list(states[1])
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
    modes = [
        [module.training for module in network.module.modules()] for network in (first, second)
    ]
    assert modes[0] == modes[1]
    for (name, ours), theirs in zip(
        first.module.named_parameters(), second.module.parameters(), strict=True
    ):
        assert ours.requires_grad == theirs.requires_grad, name
        assert ours.grad is None, name
    assert first.head_names == second.head_names
    assert first.weights == second.weights


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_next_probe_gets_the_network_that_would_be_built(
    weights: str, layout: torch.memory_format
) -> None:
    first = recipe_of(weights)
    used = network_of(first, seed=0)
    used.module.to(memory_format=layout)
    train(used)
    keep_probe(key_of(first), used)
    following = recipe_of(weights, head_lr=0.1, weight_decay=0.3, label_smoothing=0.1, shots=2)
    taken = take_probe(key_of(following), seed=3)
    assert taken is used
    assert_equal(taken, network_of(following, seed=3))


def test_who_takes_a_network_has_it_alone(weights: str) -> None:
    recipe = recipe_of(weights)
    keep_probe(key_of(recipe), network_of(recipe, seed=0))
    assert take_probe(key_of(recipe), seed=0) is not None
    assert take_probe(key_of(recipe), seed=0) is None


@pytest.mark.parametrize(
    "fields", [{"pooling": "max"}, {"dropout": 0.5}, {"precision": "fp32"}], ids=str
)
def test_a_probe_of_another_structure_gets_none(weights: str, fields: dict[str, Any]) -> None:
    recipe = recipe_of(weights)
    keep_probe(key_of(recipe), network_of(recipe, seed=0))
    assert take_probe(key_of(recipe_of(weights, **fields)), seed=0) is None
    # and it is not in memory beside the one that is built
    assert not kept_probe._kept


def test_weights_that_were_replaced_are_read_again(weights: str) -> None:
    recipe = recipe_of(weights)
    keep_probe(key_of(recipe), network_of(recipe, seed=0))
    torch.manual_seed(1)
    save_file(timm.create_model("test_efficientnet", num_classes=3).state_dict(), weights)
    assert take_probe(key_of(recipe), seed=0) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"freeze_depth": -1},
        {"freeze_depth": 0},
        {"strategy": "lp_ft", "freeze_depth": 0, "epochs": 2, "probe_epochs": 1},
    ],
    ids=str,
)
def test_only_probes_share_a_network(weights: str, fields: dict[str, Any]) -> None:
    assert key_of(recipe_of(weights, **fields)) is None


def test_random_weights_are_drawn_by_every_trial(weights: str) -> None:
    assert weights
    assert key_of(recipe_of("none")) is None


def test_a_network_with_adapters_is_not_kept(weights: str) -> None:
    recipe = Recipe(backbone="test_efficientnet", weights=weights, freeze_depth="all", lora_rank=2)
    keep_probe(key_of(recipe), network_of(recipe, seed=0))
    assert not kept_probe._kept


def test_fields_of_training_change_nothing_of_a_network(weights: str) -> None:
    known = set(Recipe.model_fields)
    assert known >= kept_probe._OF_TRAINING
    changed = {
        "head_lr": 0.5,
        "weight_decay": 0.5,
        "optimizer": "sgd",
        "epochs": 9,
        "batch_size": 7,
        "ema_decay": 0.9,
        "schedule": "constant",
        "augment": "strong",
        "shots": 3,
        "sampler": "balanced",
        "loss": "focal",
        "class_weights": "balanced",
        "label_smoothing": 0.2,
        "lwf": 1.0,
        "co_tuning": 1.0,
        "delta": 1.0,
        "bss": 1.0,
    }
    assert changed.keys() <= kept_probe._OF_TRAINING
    assert_equal(
        network_of(recipe_of(weights), seed=1), network_of(recipe_of(weights, **changed), seed=1)
    )


@pytest.mark.parametrize("depth", ["all", -1, 0])
def test_modes_are_those_of_torchs_own_way(weights: str, depth: Any) -> None:
    network = network_of(recipe_of(weights, freeze_depth=depth, dropout=0.1), seed=0)
    for set_mode, is_training in ((network.train, True), (network.eval, False)):
        set_mode()
        ours = [module.training for module in network.module.modules()]
        network.module.train(is_training)
        network.boundary.hold()
        assert ours == [module.training for module in network.module.modules()]


def test_a_module_with_a_mode_of_its_own_is_asked(weights: str) -> None:
    class Stubborn(nn.Identity):
        def train(self, mode: bool = True) -> Stubborn:
            return super().train(mode=False)

    network = network_of(recipe_of(weights), seed=0)
    network.module.add_module("stubborn", Stubborn())
    network.train()
    assert not network.module.get_submodule("stubborn").training
