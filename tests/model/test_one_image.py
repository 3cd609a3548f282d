"""Whether a network can train with one image at a time is known before it is built.

The meta device refuses what a real step refuses.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ablate.model.network import build_network, check_recipe
from ablate.recipe.recipe import Recipe

CASES = [
    ("test_resnet", 32, {"freeze_depth": 0}, False),
    ("test_resnet", 32, {"freeze_depth": -1}, False),
    ("test_resnet", 64, {"freeze_depth": 0}, True),
    ("test_resnet", 32, {"freeze_depth": "all"}, True),
    ("test_resnet", 32, {"freeze_depth": 0, "batch_norm": "frozen"}, True),
    ("test_resnet", 32, {"freeze_depth": 0, "batch_norm": "affine"}, True),
    ("test_resnet", 32, {"freeze_depth": 0, "batch_norm": "adapt"}, False),
    ("test_efficientnet", 32, {"freeze_depth": -1}, False),
    ("test_efficientnet", 32, {"strategy": "lp_ft", "freeze_depth": 0}, False),
    ("test_vit", 32, {"freeze_depth": 0}, True),
    ("test_resnet", 32, {"freeze_depth": "all", "classifier": "ridge"}, True),
]


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "image_size", "fields", "takes"), CASES)
def test_it_is_known_beforehand_and_a_step_agrees(
    backbone: str, image_size: int, fields: dict[str, Any], takes: bool
) -> None:
    recipe = Recipe(backbone=backbone, weights="none", **fields)
    assert check_recipe(recipe, n_classes=3, image_size=image_size).takes_one_image == takes
    network = build_network(recipe, n_classes=3, image_size=image_size, seed=0)
    network.train()
    images = torch.zeros(1, 3, network.preprocessing.image_size, network.preprocessing.image_size)
    if takes:
        assert network.module(images).shape == (1, 3)
    else:
        with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
            network.module(images)
