"""The split at the freeze boundary: two parts that are the whole, for every family."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from typing import Any, Literal

import pytest
import torch
from support.untyped import untyped

from ablate.model.network import Network, build_network
from ablate.model.splitting.find_split import NotSplit, split_network
from ablate.model.splitting.parts import SplitNetwork, install_plan
from ablate.recipe.recipe import Recipe

FAMILIES = [
    "test_efficientnet",
    "tf_efficientnet_lite0",
    "test_resnet",
    "resnet18",
    "mobilenetv3_small_050",
    "convnext_atto",
    "test_convnext",
    "test_vit",
    "vit_tiny_patch16_224",
    "deit_tiny_patch16_224",
    "eva02_tiny_patch14_224",
    "swin_tiny_patch4_window7_224",
    "regnetx_002",
    "densenet121",
    "mixer_s32_224",
]


OF_ONE_SIZE = ("eva", "vit", "deit", "swin", "mixer", "test_vit", "levit", "efficientformer")


def _network(backbone: str, **recipe: Any) -> tuple[Network, torch.Tensor]:
    torch.set_num_threads(1)
    size: int | Literal["auto"] = "auto" if backbone.startswith(OF_ONE_SIZE) else 64
    network = build_network(
        Recipe(backbone=backbone, weights="none", **recipe), n_classes=4, image_size=size, seed=0
    )
    side = network.preprocessing.image_size
    return network, torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    [
        {"freeze_depth": "all"},
        {"freeze_depth": -1},
        {"freeze_depth": "all", "lora_rank": 2, "adapter_units": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("backbone", FAMILIES)
def test_prefix_and_suffix_are_the_network_in_training_too(
    backbone: str, recipe: dict[str, Any]
) -> None:
    network, images = _network(backbone, **recipe)
    split = split_network(network, images, autocast=nullcontext)
    assert isinstance(split, SplitNetwork)
    network.train()
    torch.manual_seed(0)  # swin drops paths
    whole = network.module(images)
    whole.square().sum().backward()
    gradients = {
        name: parameter.grad.clone()
        for name, parameter in network.module.named_parameters()
        if parameter.grad is not None
    }
    network.module.zero_grad()
    torch.manual_seed(0)
    parts = split.suffix(split.prefix(images)[-1])
    parts.square().sum().backward()
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=1e-6)
    trained = {
        name for name, parameter in network.module.named_parameters() if parameter.requires_grad
    }
    assert gradients.keys() == trained
    for name, parameter in network.module.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(
                parameter.grad, gradients[name], atol=1e-5, rtol=1e-4, msg=name
            )


def test_nothing_frozen_means_nothing_to_share() -> None:
    network, images = _network("test_efficientnet", freeze_depth=0)
    assert split_network(network, images, autocast=nullcontext) == NotSplit(
        "nothing is frozen before the first module that learns"
    )


@pytest.mark.slow
def test_a_network_that_fails_the_check_stays_whole() -> None:
    network, images = _network("levit_128s", freeze_depth="all")
    before = network.module.eval()(images)
    found = split_network(network, images, autocast=nullcontext)
    assert isinstance(found, NotSplit)
    assert found.reason.startswith("its forward pass cannot be cut: RuntimeError: shape ")
    assert torch.equal(network.module.eval()(images), before)
    assert not any("forward" in vars(child) for child in network.module.modules())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "point"),
    [("deit_tiny_distilled_patch16_224", "norm"), ("efficientformer_l1", "head_drop")],
)
def test_two_heads_share_the_frozen_module_before_them(backbone: str, point: str) -> None:
    network, images = _network(backbone, freeze_depth="all")
    split = split_network(network, images, autocast=nullcontext)
    assert isinstance(split, SplitNetwork)
    assert split.split_points == (point,)
    assert torch.equal(split.suffix(split.prefix(images)[-1]), network.module(images))


def test_statistics_that_move_are_of_the_suffix() -> None:
    network, images = _network("test_resnet", freeze_depth=-1, batch_norm="adapt")
    split = split_network(network, images, autocast=nullcontext)
    assert isinstance(split, SplitNetwork)
    moving = {
        name
        for name, child in network.module.named_modules()
        if getattr(child, "running_mean", None) is not None
    }
    network.train()
    before = {name: untyped(network.module, name).running_mean.clone() for name in moving}
    split.prefix(images)
    assert all(
        torch.equal(untyped(network.module, name).running_mean, before[name]) for name in moving
    )
    split.suffix(split.prefix(images)[-1])
    moved = {
        name
        for name in moving
        if not torch.equal(untyped(network.module, name).running_mean, before[name])
    }
    assert moved == {name for name in moving if name.startswith("layer4")}


def test_the_whole_network_still_runs_as_one() -> None:
    network, images = _network("test_vit", freeze_depth=-1)
    before = network.module.eval()(images)
    split = split_network(network, images, autocast=nullcontext)
    assert isinstance(split, SplitNetwork)
    split.suffix(split.prefix(images)[-1])
    assert torch.equal(network.module(images), before)


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone",
    [
        "tf_efficientnet_lite0",
        "test_resnet",
        "test_vit",
        "swin_tiny_patch4_window7_224",
        "convnext_atto",
    ],
)
def test_a_later_split_point_is_reached_from_an_earlier_one(backbone: str) -> None:
    network, images = _network(backbone, freeze_depth="all")
    n_units = network.boundary.n_units
    split = split_network(
        network, images, autocast=nullcontext, earlier_depths=(n_units - 1, n_units - 2)
    )
    assert isinstance(split, SplitNetwork)
    assert len(split.split_points) == 3
    rows = split.prefix(images)
    assert torch.equal(split.suffix(rows[-1]), network.module(images))
    for point in (0, 1):
        assert torch.equal(split.advance(rows[point], start=point), rows[-1])
    for depth, row in ((n_units - 2, rows[0]), (n_units - 1, rows[1])):
        other, _ = _network(backbone, freeze_depth=depth)
        own = split_network(other, images, autocast=nullcontext)
        assert isinstance(own, SplitNetwork)
        assert own.split_points[-1] in split.split_points, "trials that cut there share these rows"
        assert torch.equal(own.prefix(images)[-1], row)


def test_a_known_structure_is_not_searched_again() -> None:
    first, images = _network("test_resnet", freeze_depth=-1)
    split = split_network(first, images, autocast=nullcontext, structure="known")
    second, _ = _network("test_resnet", freeze_depth=-1)
    calls = []
    second.module.register_forward_pre_hook(lambda *_: calls.append(1))
    again = split_network(second, images, autocast=nullcontext, structure="known")
    assert isinstance(split, SplitNetwork)
    assert isinstance(again, SplitNetwork)
    assert calls == []
    assert torch.equal(again.suffix(again.prefix(images)[-1]), split.module(images))


def test_dropout_of_the_features_falls_on_the_kept_activation() -> None:
    network, images = _network("test_efficientnet", freeze_depth="all", dropout=0.5)
    split = split_network(network, images, autocast=nullcontext)
    assert isinstance(split, SplitNetwork)
    (rows,) = split.prefix(images)
    network.train()
    torch.manual_seed(0)
    first = split.suffix(rows)
    assert not torch.equal(first, split.suffix(rows))
    torch.manual_seed(0)
    assert torch.equal(first, network.module(images))


@pytest.mark.parametrize("depth", ["all", -1])
def test_the_suffix_of_a_probe_is_its_head_and_no_other_is(depth: int | Literal["all"]) -> None:
    network, images = _network("test_efficientnet", freeze_depth=depth)
    split = split_network(network, images, autocast=nullcontext)
    assert isinstance(split, SplitNetwork)
    assert split._plan.ends_at_last == (depth == "all")
    whole = install_plan(
        network.module, images.shape[1:], dataclasses.replace(split._plan, ends_at_last=False)
    )
    (rows,) = split.prefix(images)
    assert torch.equal(split.suffix(rows), whole.suffix(rows))
