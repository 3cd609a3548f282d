from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest
from support.model_zoo import build

from ablate.errors import CheckFailed
from ablate.model.param_groups import check_partition, param_groups
from ablate.recipe.recipe import Recipe

_CASES: dict[str, dict[str, Any]] = {
    "probe": {"freeze_depth": "all"},
    "last unit": {"freeze_depth": -1},
    "full": {"freeze_depth": 0},
    "lora": {"freeze_depth": "all", "lora_rank": 2},
    "lora and last unit": {"freeze_depth": -1, "lora_rank": 2},
    "affine fixed": {"freeze_depth": 0, "batch_norm": "adapt"},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", _CASES)
@pytest.mark.parametrize(
    "backbone", ["test_efficientnet", "test_vit", "deit_tiny_distilled_patch16_224"]
)
def test_every_trainable_parameter_is_in_exactly_one_group(backbone: str, case: str) -> None:
    network = build(backbone, image_size=64, **_CASES[case])
    groups = param_groups(network, Recipe(head_lr=0.02, lr_ratio=0.25, weight_decay=0.3))
    counts = Counter(id(parameter) for group in groups for parameter in group["params"])
    assert counts == Counter(
        id(parameter) for parameter in network.module.parameters() if parameter.requires_grad
    )
    names = {id(parameter): name for name, parameter in network.module.named_parameters()}
    for group in groups:
        part, decay = group["name"].split("/")
        members = {names[id(parameter)] for parameter in group["params"]}
        assert group["lr"] == (0.02 if part == "head" else 0.005)
        assert group["weight_decay"] == (0.3 if decay == "decay" else 0.0)
        assert {parameter.ndim >= 2 for parameter in group["params"]} == {decay == "decay"}
        assert (members <= set(network.head_names)) == (part == "head")
        assert (members <= set(network.adapter_names)) == (part == "adapters")
    assert len({group["name"] for group in groups}) == len(groups)


def test_group_names_of_a_full_recipe() -> None:
    network = build("test_vit", image_size=64, freeze_depth=-1, lora_rank=2)
    assert [group["name"] for group in param_groups(network, Recipe())] == [
        "head/decay",
        "head/no_decay",
        "trunk/decay",
        "trunk/no_decay",
        "adapters/decay",
    ]


def test_a_parameter_that_no_group_holds_is_a_bug_with_its_name() -> None:
    network = build("test_vit", image_size=64)
    groups = param_groups(network, Recipe())
    with pytest.raises(CheckFailed) as caught:
        check_partition(network.module, groups[:1])
    assert (
        str(caught.value)
        == "every trainable parameter must be in exactly one group and no other in any, these are "
        "not: ['head.bias']"
    )


def test_a_parameter_of_another_network_is_a_bug() -> None:
    network, other = build("test_vit", image_size=64), build("test_vit", image_size=64)
    with pytest.raises(CheckFailed) as caught:
        check_partition(
            network.module, [*param_groups(network, Recipe()), *param_groups(other, Recipe())]
        )
    assert (
        str(caught.value)
        == "every trainable parameter must be in exactly one group and no other in any, these are "
        "not: 2 parameters of another network"
    )


def test_groups_follow_the_network_and_not_the_names_alone() -> None:
    network = build("test_vit", image_size=64, lora_rank=2)
    as_trunk = dataclasses.replace(network, adapter_names=())
    assert {group["name"] for group in param_groups(as_trunk, Recipe())} == {
        "head/decay",
        "head/no_decay",
        "trunk/decay",
    }


@pytest.mark.parametrize("freeze_depth", [0, 3, -1])
def test_layer_decay_counts_all_units_from_the_head(freeze_depth: int) -> None:
    """A unit's rate does not depend on how many before it are frozen.

    With timm's own scale it does (timm#2691).
    """
    recipe = Recipe(head_lr=0.02, lr_ratio=0.25, layer_decay=0.5)
    network = build("test_vit", image_size=64, freeze_depth=freeze_depth)
    n_units = len(network.units)
    names = {id(parameter): name for name, parameter in network.module.named_parameters()}
    rates = {
        names[id(one)]: group["lr"]
        for group in param_groups(network, recipe)
        for one in group["params"]
    }
    for i, unit in enumerate(network.units[network.boundary.depth :], start=network.boundary.depth):
        assert {rates[name] for name in unit.parameter_names} == {
            0.02 * 0.25 * 0.5 ** (n_units - i)
        }
    assert {rates[name] for name in network.head_names} == {0.02}


def test_adapters_do_not_decay_with_their_unit() -> None:
    network = build("test_vit", image_size=64, freeze_depth=-1, lora_rank=2)
    groups = param_groups(network, Recipe(head_lr=0.02, lr_ratio=0.25, layer_decay=0.5))
    assert {group["name"]: group["lr"] for group in groups} == {
        "head/decay": 0.02,
        "head/no_decay": 0.02,
        f"trunk.{network.units[-1].name}/decay": 0.0025,
        f"trunk.{network.units[-1].name}/no_decay": 0.0025,
        "adapters/decay": 0.005,
    }


def test_l2_sp_takes_the_place_of_weight_decay_where_it_pulls() -> None:
    network = build("test_vit", image_size=64, freeze_depth=-1, lora_rank=2)
    groups = {
        group["name"]: group["weight_decay"]
        for group in param_groups(network, Recipe(weight_decay=0.3, l2_sp=0.1))
    }
    assert groups == {
        "head/decay": 0.3,
        "head/no_decay": 0.0,
        "trunk/decay": 0.0,
        "trunk/no_decay": 0.0,
        "adapters/decay": 0.3,
    }
