"""Where the outputs of units come out, in families of each kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ablate.model.network import build_network
from ablate.model.unit_outputs import channel_axis, moving_outputs
from ablate.recipe.recipe import Recipe


def places(backbone: str, **fields: Any) -> dict[str, str]:
    recipe = Recipe(backbone=backbone, weights="none", **fields)
    network = build_network(recipe, n_classes=3, image_size=64, seed=0)
    names = {id(module): name for name, module in network.module.named_modules()}
    return {unit: names[id(module)] for unit, module in moving_outputs(network).items()}


@pytest.mark.parametrize(
    ("backbone", "fields", "expected"),
    [
        ("test_efficientnet", {"freeze_depth": -2}, ["blocks.4.0", "bn2"]),
        ("test_resnet", {"freeze_depth": -1}, ["layer4.0"]),
        ("test_vit", {"freeze_depth": -2}, None),
        ("test_convnext", {"freeze_depth": -1}, None),
        ("test_efficientnet", {"freeze_depth": "all"}, []),
    ],
    ids=str,
)
def test_the_units_that_can_move(
    backbone: str, fields: dict[str, Any], expected: list[str] | None
) -> None:
    found = places(backbone, **fields)
    if expected is None:
        assert len(found) == -fields["freeze_depth"]
    else:
        assert list(found.values()) == expected


def test_all_of_a_network_begins_with_its_stem() -> None:
    found = places("test_resnet", freeze_depth=0)
    # of a stage of one block it is the block's
    assert list(found.values()) == ["bn1", "layer1.0", "layer2.0", "layer3.0", "layer4.0"]


def test_behind_the_first_adapter_everything_moves() -> None:
    found = places("test_vit", freeze_depth="all", adapter="bottleneck", adapter_units=2)
    assert len(found) == 2
    assert len(places("test_vit", freeze_depth="all", lora_rank=2)) > 2


def test_channels_are_where_the_family_has_them() -> None:
    recipe = Recipe(backbone="test_efficientnet", weights="none")
    module = build_network(recipe, n_classes=3, image_size=64, seed=0).module
    assert channel_axis(module, torch.empty(2, 8, 4, 4)) == 1
    assert channel_axis(module, torch.empty(2, 16, 8)) == 2
    assert channel_axis(module, torch.empty(2, 8)) == 1
    module.output_fmt = "NHWC"  # type: ignore[assignment]
    assert channel_axis(module, torch.empty(2, 4, 4, 8)) == 3
