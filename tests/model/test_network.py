from __future__ import annotations

from typing import Any

import pytest
import torch
from support.model_zoo import build, images_of, predict
from support.untyped import untyped

from ablate.errors import SpecError
from ablate.model.network import build_network, check_recipe
from ablate.recipe.recipe import Recipe

_RECIPES: dict[str, dict[str, Any]] = {
    "probe": {"freeze_depth": "all"},
    "last unit": {"freeze_depth": -1, "batch_norm": "adapt"},
    "full": {"freeze_depth": 0},
    "lora": {"freeze_depth": 3, "lora_rank": 4, "adapter_units": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", _RECIPES)
@pytest.mark.parametrize(
    "backbone",
    ["test_efficientnet", "test_vit", "deit_tiny_distilled_patch16_224", "test_convnext"],
)
def test_the_check_foretells_the_network(backbone: str, case: str) -> None:
    recipe = Recipe(backbone=backbone, weights="none", **_RECIPES[case])
    facts = check_recipe(recipe, n_classes=5, image_size=64)
    network = build_network(recipe, n_classes=5, image_size=64, seed=0)
    assert facts.n_units == len(network.units)
    assert facts.unit_names == tuple(unit.name for unit in network.units)
    assert facts.depth == network.boundary.depth
    assert (facts.n_parameters, facts.n_trainable) == (network.n_parameters, network.n_trainable)
    assert facts.preprocessing == network.preprocessing
    assert (facts.targets, facts.skipped_targets) == (network.targets, network.skipped_targets)
    assert predict(network, images_of(network)).shape == (4, 5)


def test_counts_by_hand() -> None:
    network = build(
        "test_vit",
        image_size=64,
        freeze_depth="all",
        lora_rank=2,
        adapter_targets=("blocks.5.mlp.fc1",),
    )
    width, hidden = 64, untyped(network.module).blocks[5].mlp.fc1.base_layer.out_features
    assert network.n_trainable == (width * 5 + 5) + 2 * (width + hidden)


def test_the_head_is_the_same_in_every_arm_of_a_seed() -> None:
    arms = [build("test_vit", image_size=64, seed=3, **fields) for fields in _RECIPES.values()]
    for name in ("head.weight", "head.bias"):
        assert all(
            torch.equal(arm.module.get_parameter(name), arms[0].module.get_parameter(name))
            for arm in arms
        )
    other = build("test_vit", image_size=64, seed=4)
    assert not torch.equal(untyped(other.module).head.weight, untyped(arms[0].module).head.weight)


@pytest.mark.parametrize("fields", _RECIPES.values())
def test_building_leaves_the_global_generator_as_it_was(fields: dict[str, Any]) -> None:
    before = torch.get_rng_state()
    build("test_vit", image_size=64, **fields)
    check_recipe(Recipe(backbone="test_vit", weights="none", **fields), n_classes=5, image_size=64)
    assert torch.equal(torch.get_rng_state(), before)


def test_names_are_those_of_the_module_after_adapters_went_in() -> None:
    network = build("test_efficientnet", image_size=64, lora_rank=2, freeze_depth=-1)
    names = {name for name, _ in network.module.named_parameters()}
    in_units = [name for unit in network.units for name in unit.parameter_names]
    assert set(in_units) | set(network.adapter_names) | set(network.head_names) == names
    assert len(in_units) + len(network.adapter_names) + len(network.head_names) == len(names)
    assert set(network.boundary.frozen_names) == {
        name for name, parameter in network.module.named_parameters() if not parameter.requires_grad
    }


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_distilled_transformer_averages_its_two_heads(mode: str) -> None:
    network = build("deit_tiny_distilled_patch16_224", image_size=64)
    network.train() if mode == "train" else network.module.eval()
    images = images_of(network)
    tokens = untyped(network.module).forward_features(images)
    expected = (
        untyped(network.module).head(tokens[:, 0]) + untyped(network.module).head_dist(tokens[:, 1])
    ) / 2
    torch.testing.assert_close(network.module(images), expected)


@pytest.mark.slow
def test_units_that_interleave_cannot_be_cut() -> None:
    assert (
        check_recipe(
            Recipe(backbone="cait_xxs24_224", freeze_depth=0), n_classes=5, image_size="auto"
        ).depth
        == 0
    )
    with pytest.raises(SpecError) as caught:
        check_recipe(
            Recipe(backbone="cait_xxs24_224", freeze_depth=-1), n_classes=5, image_size="auto"
        )
    assert str(caught.value) == (
        "freeze_depth must be all or 0 for cait_xxs24_224, whose units do not run one after the "
        "other (blocks.22+blocks_token_only.0 runs after "
        "blocks.23+blocks_token_only.1), got a depth of 24"
    )


@pytest.mark.slow
def test_a_check_of_a_large_backbone_takes_no_memory_for_it() -> None:
    facts = check_recipe(
        Recipe(backbone="vit_large_patch16_224", freeze_depth=0), n_classes=5, image_size="auto"
    )
    assert facts.n_parameters == facts.n_trainable > 300_000_000
    assert facts.n_units == 25
